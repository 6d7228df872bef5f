"""`Beside`: artifacts that answer beside the promoted one, since arms of experiments that run name them."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold.core.errors import TwofoldError
from twofold.core.query import Query
from twofold.serve.asking import Answering
from twofold.serve.experiments import Experiments
from twofold.serve.live import Live
from twofold.serve.operating import find_artifact
from twofold.serve.problems import Refusal

__all__ = ["Beside", "Directed"]

log = logging.getLogger("twofold.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directed(Query):
    """A query that one artifact shall answer, whichever is promoted."""

    artifact: str
    """Its folder."""


class Beside:
    """The artifacts of arms, open in this process.

    Args:
        link: leads to the promoted artifact, beside which the others lie.
        open_: opens an artifact.
        experiments: say which artifacts are needed.
        tell: told what cannot be opened; an experiment that needs it does not run in this process.
    """

    def __init__(
        self, link: Path, open_: Callable[[Path], Answering], experiments: Experiments, tell: Callable[[str], None]
    ) -> None:
        self._link, self._open, self._experiments, self._tell = link, open_, experiments, tell
        self.opened: Mapping[str, Answering] = {}
        """By folder; replaced as a whole."""
        self._failed: set[str] = set()

    @property
    def lives(self) -> list[Live]:
        """What follows the event store here."""
        return [answering.live for answering in self.opened.values()]

    def look(self) -> None:
        """Open what running experiments need, and let go of what none needs any more."""
        needed = {folder for experiment in self._experiments.running for folder in experiment.artifacts}
        self._failed &= needed
        if needed - self._failed == self.opened.keys():
            return
        opened = {folder: answering for folder, answering in self.opened.items() if folder in needed}
        for folder in sorted(needed - opened.keys() - self._failed):
            try:
                opened[folder] = self._open(find_artifact(self._link, folder))
                log.info("artifact %s answers for an arm from now on", folder)
            except (TwofoldError, Refusal) as error:
                self._failed.add(folder)
                self._tell(f"an experiment does not run here, since its artifact {folder!r} cannot be opened: {error}")
        self.opened = opened

    def of(self, query: Query, by: Answering) -> Answering:
        """Return what answers a query.

        Args:
            query: the query.
            by: answers what is directed to no artifact, or to one that is not open.
        """
        return self.opened.get(query.artifact, by) if isinstance(query, Directed) else by

    def split(self, by: Answering, queries: Sequence[Query]) -> Iterable[tuple[Answering, list[int]]]:
        """Return what answers some of these queries, each with which ones, by their places; see `of`."""
        groups: dict[int, tuple[Answering, list[int]]] = {}
        for place, query in enumerate(queries):
            other = self.of(query, by)
            groups.setdefault(id(other), (other, []))[1].append(place)
        return groups.values()
