"""Fitting the sequential model: networks are trained with torch and come back as arrays and ONNX graphs."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from twofold.core.config import table
from twofold.core.history import Histories
from twofold.core.scores import Floats
from twofold.core.stage import Progress
from twofold.models.checkpoints import checkpoint_folder
from twofold.models.holding import hold_out
from twofold.models.sequential.config import SequentialConfig
from twofold.models.sequential.export import as_onnx
from twofold.models.sequential.network import Known, Network
from twofold.models.sequential.task import SequenceTask
from twofold.models.spectral import spectral_vectors, told_by
from twofold.train import TrainingReport, train

__all__ = ["Fitted", "as_fitted", "fit_networks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained network over m items."""

    ids: Floats
    """What an item's vector has besides its content, [m, d]."""
    bias: Floats
    """[m]."""
    hidden: Floats
    """The vector of a hidden item, [d]."""
    projection: Floats | None
    """From content to vectors, [c, d]."""
    graph: bytes
    """The network as an ONNX file."""
    report: TrainingReport


def fit_networks(
    config: SequentialConfig,
    log: Histories,
    content: Floats | None,
    *,
    seed: int,
    about: str,
    progress: Progress | None = None,
) -> list[Fitted]:
    """Train all members on a log.

    Args:
        config: the options.
        log: histories over the codes 0 to m - 1.
        content: what an encoder says of these items, [m, c]; None without one.
        seed: of everything random.
        about: what the data are, for the checkpoint.
        progress: told how far it is.
    """
    rest, held = hold_out(log, config.holdout, np.random.default_rng(seed))
    known = _known(config, rest, content, int(log.items.max(initial=-1)) + 1, seed)
    fitted = []
    for member in range(config.members):
        with torch.random.fork_rng():
            torch.manual_seed(seed + member)
            network = Network(config, known).to("cuda" if torch.cuda.is_available() else "cpu")
        owner = {"data": about, "model": table(replace(config, checkpoint="", threads=0)), "seed": seed + member}
        report = train(
            SequenceTask(network, rest, held),
            config.training,
            seed=seed + member,
            checkpoint=checkpoint_folder(config.checkpoint, owner),
            about=owner,
            progress=progress,
        )
        fitted.append(as_fitted(network, report))
    return fitted


def as_fitted(network: Network, report: TrainingReport) -> Fitted:
    """Take a network apart into what scoring needs."""
    weights = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    return Fitted(
        ids=weights["ids"][:-1],
        bias=weights["bias"],
        hidden=weights["ids"][-1],
        projection=weights["project.weight"].T if "project.weight" in weights else None,
        graph=as_onnx(network.config, weights),
        report=report,
    )


def _known(config: SequentialConfig, log: Histories, content: Floats | None, items: int, seed: int) -> Known:
    """Gather what is known of the items; where both are there, vectors start as what their content does not tell."""
    likes = log.likes()
    vectors = spectral_vectors(likes, items, config.width, seed) if config.spectral else None
    projection = None
    if content is not None and vectors is not None:
        projection = told_by(content, vectors)
        vectors = vectors - content @ projection
    return Known(
        counts=np.bincount(likes.items, minlength=items).astype(np.float32),
        vectors=vectors,
        content=content,
        projection=projection,
        gaps=config.features.gaps and bool((log.timestamps > 0).any()),
        values=config.features.values and len(np.unique(log.values)) > 1,
    )
