"""`adopt_rung`: an artifact with a rung of a ladder in the place of one of its networks."""

import shutil
from pathlib import Path

from twofold.compress.runtime import GRAPH
from twofold.core.artifact import Artifact
from twofold.core.errors import ConfigError, nearest
from twofold.core.ladder import Ladder
from twofold.flows.compress.stages import kinds_of

__all__ = ["adopt_rung"]

PLACES = {"sequential": "network-0.onnx", "cross-encoder": "model.onnx", "image-encoder": "image.onnx"}
"""Where a stage of a kind keeps its network, in its folder of the artifact."""


def adopt_rung(artifact: Path, stage: str, ladder: Path, rung: str, target: Path) -> Artifact:
    """Write an artifact like another one, in which a stage runs a rung's network.

    A text encoder is not changed in this way: its items would have to be encoded again. Name the folder of the rung as
    its `model` in the recipe, or serve the ladder beside the artifact.

    Args:
        artifact: a fitted pipeline; it stays as it is.
        stage: whose network it is, by its name in the recipe.
        ladder: the folder that `compress` wrote for this stage of this artifact.
        rung: the name of one of its rungs.
        target: where the new artifact goes; one that is there is replaced.

    Raises:
        ArtifactError: the artifact or the ladder cannot be read, or the target not be written.
        ConfigError: there is no such stage or rung, or the ladder is not of this stage.
    """
    opened, rungs = Artifact.open(artifact), Ladder.read(ladder)
    kinds = kinds_of(opened)
    known = [name for name, kind in kinds.items() if kind in PLACES]
    if stage not in known:
        raise ConfigError(
            f"{artifact} has no sequential model, cross-encoder or image encoder {stage!r}; {nearest(stage, known)}"
        )
    if rungs.protocol.get("name") != stage:
        raise ConfigError(
            f"the ladder in {ladder} is of {rungs.protocol.get('name')!r} and not of {stage!r}; "
            f"make one with `twofold compress {stage} --artifact {artifact}`."
        )
    found = next((one for one in rungs.rungs if one.name == rung), None)
    if found is None:
        raise ConfigError(f"{ladder} has no rung {rung!r}; {nearest(rung, [one.name for one in rungs.rungs])}")
    kept = {key: value for key, value in opened.manifest.items() if key not in ("files", "sha256")}

    def build(folder: Path) -> None:
        for name in opened.manifest["files"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact / name, folder / name)
        shutil.copyfile(ladder / found.folder / GRAPH, folder / "stages" / stage / PLACES[kinds[stage]])

    return Artifact.write(target, build, {**kept, "rungs": {**kept.get("rungs", {}), stage: rung}})
