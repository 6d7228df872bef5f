from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from twofold.core.config import build, read_toml, table
from twofold.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 2

    def __post_init__(self) -> None:
        if self.depth < 0:
            raise ValueError("wants depth >= 0.")


@dataclass(frozen=True, kw_only=True)
class Options:
    name: str
    reg: float = 1.0
    factors: int = 8
    fast: bool = False
    method: Literal["score", "rank"] = "score"
    half_life: float | None = None
    limit: int | str = 3
    ks: tuple[int, ...] = (10,)
    weights: dict[str, float] = field(default_factory=dict)
    inner: Inner = Inner()
    more: dict[str, Any] = field(default_factory=dict)


def test_values_are_taken_and_defaults_kept() -> None:
    made = build(Options, {"name": "x", "reg": 3, "ks": [5, 20], "weights": {"a": 1}, "inner": {"depth": 4}}, "here")
    assert made == Options(name="x", reg=3.0, ks=(5, 20), weights={"a": 1.0}, inner=Inner(depth=4))
    assert isinstance(made.reg, float)
    assert isinstance(made.weights["a"], float)


def test_a_config_survives_the_round_trip() -> None:
    made = Options(name="x", half_life=None, ks=(1, 2), limit="all", inner=Inner(depth=0), more={"a": [1, {"b": 2}]})
    assert "half_life" not in table(made)
    assert table(made)["ks"] == [1, 2]
    assert build(Options, table(made), "here") == made


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "rge": 1.0}, r"\[here\] has no option 'rge'; did you mean 'reg'\?"),
        ({"name": "x", "qqq": 1.0}, "'qqq'; known: factors, fast,"),
        ({"name": "x", "inner": {"dept": 1}}, r"\[here.inner\] has no option 'dept'; did you mean 'depth'"),
        ({}, r"\[here\] needs a value for 'name'"),
        ({"name": 5}, "here.name cannot be 5; it wants a text"),
        ({"name": "x", "reg": "much"}, "here.reg cannot be 'much'; it wants a number"),
        ({"name": "x", "reg": True}, "here.reg cannot be True"),
        ({"name": "x", "factors": 8.0}, r"here.factors cannot be 8\.0; it wants a whole number"),
        ({"name": "x", "factors": True}, "here.factors cannot be True"),
        ({"name": "x", "fast": 1}, "here.fast cannot be 1; it wants true or false"),
        ({"name": "x", "method": "scor"}, "here.method cannot be 'scor'; it is one of 'score', 'rank'"),
        ({"name": "x", "method": ["score"]}, "here.method cannot be"),
        ({"name": "x", "half_life": "long"}, "here.half_life cannot be 'long'; it wants a number"),
        ({"name": "x", "limit": 1.5}, r"here.limit cannot be 1\.5; it wants a whole number or a text"),
        ({"name": "x", "ks": 10}, "here.ks cannot be 10; it wants a list"),
        ({"name": "x", "ks": [10, "x"]}, "here.ks cannot be 'x'; it wants a whole number"),
        ({"name": "x", "weights": [1.0]}, "here.weights cannot be .*; it wants a table"),
        ({"name": "x", "weights": {"a": "b"}}, "here.weights.a cannot be 'b'"),
        ({"name": "x", "inner": 3}, "here.inner cannot be 3; it wants a table"),
        ({"name": "x", "inner": {"depth": -1}}, r"\[here.inner\] wants depth >= 0"),
        ({"name": "x", "reg": float("nan")}, "here.reg cannot be nan; it wants a number"),
        ({"name": "x", "reg": 10**400}, "here.reg cannot be"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Options, values, "here")


def test_toml_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('name = "é"\n[inner]\ndepth = 4\n', encoding="utf-8")
    assert read_toml(tmp_path / "r.toml") == {"name": "é", "inner": {"depth": 4}}


@pytest.mark.parametrize("content", [b"name = ", b'name = "\xe9"', b"a = 1\na = 2"])
def test_broken_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"r\.toml is not valid TOML"):
        read_toml(tmp_path / "r.toml")


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no recipe at .*r\.toml"):
        read_toml(tmp_path / "r.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)
