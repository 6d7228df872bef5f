"""`Recipe`: what a pipeline is made of, as a TOML file says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from twofold.core.config import build, read_toml, table
from twofold.core.errors import ConfigError, nearest
from twofold.core.query import Evidence
from twofold.core.stage import make_stage

__all__ = ["EVIDENCE", "Recipe", "Weights"]

EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)
"""The parts of a query, the first that it has being the one that says which items may come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """For each part of a query, which retrievers answer it, and how much each counts in the fusion."""

    text: dict[str, float] = field(default_factory=dict)
    image: dict[str, float] = field(default_factory=dict)
    items: dict[str, float] = field(default_factory=dict)
    history: dict[str, float] = field(default_factory=dict)
    nothing: dict[str, float] = field(default_factory=dict)

    def of(self, evidence: Evidence) -> dict[str, float]:
        """Return the weights for one part of a query."""
        return getattr(self, evidence)  # type: ignore[no-any-return]

    def asked(self, evidence: Evidence) -> dict[str, float]:
        """Return the weights of those that are asked for one part of a query: one of weight 0 is not."""
        return {name: weight for name, weight in self.of(evidence).items() if weight != 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a pipeline is made of: the content of a TOML file.

    Raises:
        ConfigError: `evidence` names a retriever that `retrieve` does not have, or two stages have one name.
    """

    name: str
    retrieve: dict[str, dict[str, Any]]
    """Retrievers by a name of your choice; `kind` says which stage, the rest are its options."""
    evidence: Weights
    encode: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Encoders, in the same form; retrievers name them in their options."""
    expand: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stages that write more about items, in the same form; search indexes name them in their options."""
    rank: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Rankers, in the same form; each orders anew what the one before it left."""
    fuse: dict[str, Any] = field(default_factory=lambda: {"kind": "fusion"})
    """The stage that makes one ranking of all."""
    blend: float = 0.3
    """How much the other evidence of a mixed query reorders what the first evidence found."""
    recent: int = 1_000
    """How many of a user's newest events count."""
    data: dict[str, Any] = field(default_factory=dict)
    """Options of cleaning; see `twofold.data.Cleaning`."""
    split: dict[str, Any] = field(default_factory=dict)
    """Options of the split for evaluation; see `twofold.data.Split`."""
    tune: dict[str, Any] = field(default_factory=dict)
    """How the weights of `evidence.history` are chosen on held-out data; see `twofold.flows`. Empty: as written."""

    def __post_init__(self) -> None:
        names = [*self.encode, *self.expand, *self.retrieve, *self.rank, "fuse"]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"two stages are called {twice!r}; rename one.")
        for evidence in EVIDENCE:
            for name in self.evidence.of(evidence):
                if name not in self.retrieve:
                    raise ConfigError(f"[evidence.{evidence}] names {name!r}; {nearest(name, self.retrieve)}")

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Read a recipe from a TOML file.

        Raises:
            ConfigError: the file is missing, or something in it is unknown or out of range.
        """
        return build(cls, read_toml(path), path.name)

    @classmethod
    def from_table(cls, values: Mapping[str, Any]) -> "Recipe":
        """Make a recipe from a table, such as a manifest's.

        Raises:
            ConfigError: something in it is unknown or out of range.
        """
        return build(cls, values, "recipe")

    def needed(self) -> "Recipe":
        """Return the recipe without the stages that no evidence and no ranker needs."""
        tables = {**self.encode, **self.expand, **self.retrieve, **self.rank}
        wanted: set[str] = set()
        asked = [*self.rank, *(name for evidence in EVIDENCE for name in self.evidence.of(evidence))]
        while asked:
            name = asked.pop()
            if name in tables and name not in wanted:
                wanted.add(name)
                stage = make_stage(tables[name], name)
                asked += [getattr(stage.config, field) for field in stage.needs]

        def kept(stages: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
            return {name: options for name, options in stages.items() if name in wanted}

        return replace(self, encode=kept(self.encode), expand=kept(self.expand), retrieve=kept(self.retrieve))

    def as_table(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return table(self)
