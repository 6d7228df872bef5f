"""Begins and stops experiments, and lists what they show."""

import asyncio
import logging
import math
import time

from twofold.core.artifact import Artifact
from twofold.core.errors import ArtifactError
from twofold.serve.experiments import Experiment, Experiments
from twofold.serve.figures import figures_of
from twofold.serve.operating import find_artifact
from twofold.serve.problems import Refusal
from twofold.serve.server import Server
from twofold.serve.wire import Experiments as Listed
from twofold.serve.wire import Figures, StartExperiment

__all__ = ["list_experiments", "start", "stop"]

log = logging.getLogger("twofold.serve")

MOST = 100
"""Experiments that are listed."""
AT_ONCE = 10
"""Experiments that may run; each costs every question some microseconds."""
NEAR = 1e-6
"""How far the sum of shares may be from 1."""


def list_experiments(server: Server) -> Listed:
    """Return experiments and what they show, the newest first."""
    newest = list(server.experiments.known.values())[: -MOST - 1 : -1]
    return Listed(experiments=[_figures(server, experiment) for experiment in newest])


async def start(server: Server, ask: StartExperiment) -> Figures:
    """Begin an experiment, in all workers; one that is there already goes on where the arms are the same.

    Raises:
        Refusal: the arms cannot be compared, or the name was used.
        StoreError: it could not be stored.
    """
    wanted = Experiment(name=ask.name, arms=tuple(ask.arms), started=time.time_ns() // 1_000_000)
    if ask.name not in server.experiments.known:
        await asyncio.to_thread(_check, server, wanted)
        await server.record([wanted.begins()])
        log.warning("experiment %s was started over HTTP", ask.name)
    found = server.experiments.known[ask.name]
    if found.arms != wanted.arms or found.stopped is not None:
        raise Refusal(
            409,
            f"there is or was an experiment {ask.name!r}, and the name says who gets which arm; take another name.",
        )
    return await asyncio.to_thread(_figures, server, found)


async def stop(server: Server, name: str) -> Figures:
    """Stop an experiment, in all workers; a second time changes nothing.

    Raises:
        Refusal: there is none of that name.
        StoreError: it could not be stored.
    """
    found = server.experiments.known.get(name)
    if found is None:
        raise Refusal(404, "there is no such experiment; GET /experiments lists them.")
    if found.stopped is None:
        await server.record([found.stops()])
        log.warning("experiment %s was stopped over HTTP", name)
    return await asyncio.to_thread(_figures, server, server.experiments.known[name])


def _figures(server: Server, experiment: Experiment) -> Figures:
    return figures_of(experiment, server.tallies.of(experiment.name, server.live.worth.positive()))


def _check(server: Server, wanted: Experiment) -> None:
    """See that arms can be compared, and that no other experiment gets in their way."""
    names = [arm.name for arm in wanted.arms]
    if len(set(names)) < len(names):
        raise Refusal(422, f"two arms have one name ({', '.join(names)}); give each its own.")
    total = math.fsum(arm.share for arm in wanted.arms)
    if abs(total - 1) > NEAR:
        raise Refusal(422, f"the shares of the arms add up to {total:g}; let them add up to 1.")
    _check_others(server.experiments, wanted)
    for folder in sorted(wanted.artifacts):
        try:
            Artifact.open(find_artifact(server.settings.artifact, folder))
        except ArtifactError as error:
            raise Refusal(422, str(error)) from error


def _check_others(experiments: Experiments, wanted: Experiment) -> None:
    if len(experiments.running) >= AT_ONCE:
        raise Refusal(409, f"{AT_ONCE} experiments run already; stop one of them first.")
    for other in experiments.running:
        if both := sorted(wanted.varied & other.varied):
            raise Refusal(
                409, f"{other.name!r} varies {both[0]} already, and would hide what this does; stop that one first."
            )
