"""`stage_subject`: a stage of an artifact, by its name, as what is to be compressed."""

from pathlib import Path

import numpy as np

from twofold.core.artifact import Artifact
from twofold.core.errors import ConfigError, nearest
from twofold.core.pipeline import Pipeline
from twofold.data.texts import item_texts
from twofold.encoders.image import ImageEncoder
from twofold.flows.compress.image import ImageSubject
from twofold.flows.compress.pairs import Asking, PairSubject
from twofold.flows.compress.sequential import SequentialSubject
from twofold.flows.compress.subject import Subject
from twofold.flows.compress.text import text_subject
from twofold.models.sequential import Sequential
from twofold.ranking import CrossEncoder
from twofold.ranking.examples import invented_searches, known_searches

__all__ = ["kinds_of", "stage_subject"]

SEARCHES, CANDIDATES = 200, 20
KINDS = ("text-encoder", "image-encoder", "sequential", "cross-encoder")


def stage_subject(name: str, artifact: Path, *, seed: int = 0) -> Subject:
    """Return a stage of a fitted pipeline with the data that it was fitted on.

    Args:
        name: of a text encoder, an image encoder, a sequential model or a cross-encoder in the artifact's recipe.
        artifact: the path of the fitted pipeline.
        seed: draws the cases.

    Raises:
        ConfigError: there is no such stage, or it cannot be compressed.
        ArtifactError: the artifact cannot be read.
        DataError: it was fitted on too little to judge anything by.
    """
    opened = Artifact.open(artifact)
    kinds = kinds_of(opened)
    known = [stage for stage, kind in kinds.items() if kind in KINDS]
    if name not in known:
        raise ConfigError(
            f"{artifact} has no encoder, sequential model or cross-encoder {name!r}; {nearest(name, known)}"
        )
    if kinds[name] == "text-encoder":
        return text_subject(name, artifact, seed=seed)
    pipeline = Pipeline.load(artifact)
    stage = pipeline.stages[name]
    if isinstance(stage, Sequential):
        return SequentialSubject(stage, pipeline.dataset.log, name=name, seed=seed)
    if isinstance(stage, ImageEncoder):
        return ImageSubject(stage, pipeline.dataset.items, name=name, seed=seed)
    assert isinstance(stage, CrossEncoder)
    folder = opened.folder / "stages" / name
    return PairSubject(folder, _cases(pipeline, seed), max_tokens=stage.config.max_tokens, name=name)


def kinds_of(artifact: Artifact) -> dict[str, str]:
    """Return of what kind each stage of an artifact is that may hold a network, by its name."""
    recipe = artifact.manifest["recipe"]
    parts = (recipe.get(part, {}) for part in ("encode", "retrieve", "rank"))
    return {name: options.get("kind", "") for stages in parts for name, options in stages.items()}


def _cases(pipeline: Pipeline, seed: int) -> Asking:
    """Return searches, of people first, with the candidates that the pipeline's retrievers find for them."""
    retrievers = [stage for stage in pipeline.retrievers.values() if "text" in stage.answers()]
    rng, texts = np.random.default_rng(seed), item_texts(pipeline.dataset.items)
    asked = known_searches(pipeline.dataset, retrievers, CANDIDATES)
    asked = [asked[row] for row in rng.permutation(len(asked))[:SEARCHES]]
    asked += invented_searches(pipeline.dataset.items, retrievers, CANDIDATES, SEARCHES - len(asked), rng)
    return [(one.text, [texts[item] for item in one.found.tolist() if texts[item]]) for one in asked]
