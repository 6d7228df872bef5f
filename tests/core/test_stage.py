from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import (
    Batch,
    Dataset,
    Evidence,
    Expander,
    Fuser,
    Histories,
    IdMap,
    Pipeline,
    Recipe,
    Retriever,
    Scores,
    Stage,
    Weights,
    stage,
)
from twofold.core.errors import ConfigError, MissingExtraError
from twofold.core.stage import link, make_stage, stage_kinds


class Plain(Stage):
    state = ("weights", "bias")

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Plain":
        return self


@dataclass(frozen=True, kw_only=True)
class Config:
    reg: float = 1.0


class Tuned(Plain):
    Config = Config


class Point:
    """What an installed package says of a stage."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm")
    points = {"plain": Point(Plain), "tuned": Point(Tuned), "rank": Point(missing)}
    monkeypatch.setattr(stage, "stage_kinds", lambda: points)


def test_a_stage_is_made_from_its_table() -> None:
    made = make_stage({"kind": "tuned", "reg": 2}, "retrieve.x")
    assert isinstance(made, Tuned)
    assert made.config == Config(reg=2.0)
    assert make_stage({"kind": "tuned"}, "retrieve.x").config == Config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "tunde"}, r"\[retrieve.x\] has no known kind of stage \('tunde'\); did you mean 'tuned'"),
        ({}, r"\(None\); known: plain, rank, tuned"),
        ({"kind": ["tuned"]}, "no known kind"),
        ({"kind": "tuned", "rge": 1}, r"\[retrieve.x\] has no option 'rge'; did you mean 'reg'"),
        ({"kind": "tuned", "reg": "x"}, "retrieve.x.reg cannot be 'x'"),
        ({"kind": "plain", "reg": 1}, r"\[retrieve.x\] takes no options, but has reg"),
    ],
)
def test_a_wrong_table_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_stage(options, "retrieve.x")


def test_a_missing_package_is_named_with_its_cure() -> None:
    with pytest.raises(MissingExtraError, match="'rank' needs the package 'lightgbm'; install it with `pip install"):
        make_stage({"kind": "rank"}, "rank")


def test_state_survives_the_round_trip(tmp_path: Path) -> None:
    made = Plain()
    made.weights, made.bias = np.arange(3.0), None  # type: ignore[attr-defined]
    made.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npy"]
    read = Plain()
    read.restore(tmp_path, None)  # type: ignore[arg-type]
    assert isinstance(read.weights, np.memmap)  # type: ignore[attr-defined]
    assert read.weights.tolist() == [0.0, 1.0, 2.0]  # type: ignore[attr-defined]
    assert read.bias is None  # type: ignore[attr-defined]


def test_objects_are_never_saved(tmp_path: Path) -> None:
    made = Plain()
    made.weights, made.bias = np.array([object()]), None  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="allow_pickle"):
        made.save(tmp_path)


def test_installed_kinds_can_be_loaded() -> None:
    for name, point in stage_kinds().items():
        assert issubclass(point.load(), Stage), name


def test_a_recipe_names_the_nearest_retriever() -> None:
    with pytest.raises(ConfigError, match=r"\[evidence.history\] names 'esae'; did you mean 'ease'"):
        Recipe(name="r", retrieve={"ease": {"kind": "ease"}}, evidence=Weights(history={"esae": 1.0}))


@dataclass(frozen=True, kw_only=True)
class Naming:
    other: str = ""


class Needy(Plain):
    Config = Naming
    needs = {"other": Plain}  # noqa: RUF012


def test_what_is_needed_comes_first_and_is_handed_over() -> None:
    needy, plain = Needy(Naming(other="b")), Plain()
    assert list(link({"a": needy, "b": plain})) == ["b", "a"]
    assert needy.linked == {"other": plain}
    assert Needy().linked == {}


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ({"a": Needy(Naming(other="bb")), "b": Plain()}, "did you mean 'b'"),
        ({"a": Needy(Naming(other="b")), "b": Needy(Naming(other="a"))}, "a → b → a"),
        ({"a": Needy(Naming(other="a"))}, "a → a"),
    ],
)
def test_a_wrong_name_is_said(stages: dict[str, Stage], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        link(stages)


def test_the_wrong_type_is_said() -> None:
    class Wants(Needy):
        needs = {"other": Tuned}  # noqa: RUF012

    with pytest.raises(ConfigError, match="no tuned"):
        link({"a": Wants(Naming(other="b")), "b": Plain()})


def test_what_was_written_about_an_item_goes_when_the_item_changes() -> None:
    class Writes(Expander):
        def fit(self, dataset: Dataset, *, rng: Any = None) -> "Writes":
            return self

    ids = pl.Series(["a", "b", "new"])
    dataset = Dataset(
        item_ids=IdMap(ids),
        user_ids=IdMap(pl.Series([], dtype=pl.String)),
        items=pl.DataFrame({"item": ids}),
        users=pl.DataFrame({"user": []}),
        log=Histories.empty(0),
    )
    made = Writes()
    before = made.expansions = pl.Series(["about a", "about b"])
    made.update(dataset, np.array([0, 2], np.int32))
    assert made.expansions.to_list() == [None, "about b", None]
    assert before.to_list() == ["about a", "about b"]


class Reads(Retriever):
    """A retriever for texts and histories that cannot read texts."""

    evidence = ("text", "history")

    def answers(self) -> tuple[Evidence, ...]:
        return ("history",)

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Reads":
        return self

    def score(self, batch: Batch, evidence: Evidence) -> Scores:
        raise NotImplementedError


class Fuses(Plain, Fuser):
    votes = fuse = reorder = None  # type: ignore[assignment]


def test_a_retriever_is_not_asked_what_it_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "stage_kinds", lambda: {"reads": Point(Reads), "fusion": Point(Fuses)})
    table = {"it": {"kind": "reads"}}
    Pipeline(Recipe(name="r", retrieve=table, evidence=Weights(history={"it": 1.0})))
    with pytest.raises(ConfigError, match=r"\[evidence.text\] names 'it', which answers only history; remove it"):
        Pipeline(Recipe(name="r", retrieve=table, evidence=Weights(text={"it": 1.0})))
