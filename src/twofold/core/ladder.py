"""`Ladder`: one stage at several sizes, each with its measured quality and cost; or a whole pipeline at several.

ladder.json     the rungs from the slowest to the fastest, what the teacher measures, the machine, the protocol,
                and the sha256 of each rung's files and of itself
RUNG/…          a folder a rung, which the stage reads without torch

A rung of a pipeline, a *step*, has no files of its own: it sets stages, and was measured as a whole. The ladders of
these stages are part of the file.
"""

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from twofold.core.config import build
from twofold.core.errors import ArtifactError, ConfigError, nearest
from twofold.core.sealing import digest, replace_file, sha256

__all__ = ["LADDER", "Ladder", "Rung", "Setting"]

LADDER = "ladder.json"
FORMAT = 1
AGAIN = "make the ladder again with `twofold compress`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a step sets of a stage; None is what it leaves alone."""

    rung: str | None = None
    """The rung of the stage's ladder that it runs; "" for the network that it was fitted with."""
    depth: int | None = None
    """How many candidates it looks at, or takes from each retriever; 0 leaves a ranker out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One size of a stage, as measured on held-out data and on this machine; None is what was not measured."""

    name: str
    quality: float
    """Held-out quality; the top rung's measure, higher is better."""
    milliseconds: float
    """Median time of one query at batch 1."""
    bytes: int
    """Size on disk."""
    quality_low: float | None = None
    """Lower end of the 95 % interval of the quality."""
    quality_high: float | None = None
    """Upper end."""
    kept: float | None = None
    """Quality as a share of the teacher's."""
    p_value: float | None = None
    """Of the paired test of its quality against the teacher's, two-sided."""
    slow_milliseconds: float | None = None
    """99th percentile of the time of one query at batch 1."""
    rate: float | None = None
    """Texts (or other inputs) a second at batch 32, with one thread."""
    rate_two: float | None = None
    """The same with two threads."""
    speedup: float | None = None
    """Time of the teacher at batch 1 over its own, measured in turns."""
    rate_gain: float | None = None
    """Its rate over the teacher's with one thread, measured in turns."""
    parameters: int | None = None
    """Numbers that it was trained to, whatever their width."""
    memory: int | None = None
    """Resident bytes that a fresh process has more after opening and running it than before."""
    runtime: str = "onnxruntime"
    """What runs it fastest on this machine: `onnxruntime`, `openvino` or `openvino bfloat16`."""
    folder: str = ""
    """Where its files are, seen from `ladder.json`."""
    files: dict[str, str] = field(default_factory=dict)
    """The sha256 of each file in the folder, by its path there."""
    steps: tuple[str, ...] = ()
    """How it was made from the teacher, in order."""
    notes: tuple[str, ...] = ()
    """What is to be known about it, in sentences."""
    settings: dict[str, Setting] = field(default_factory=dict)
    """Of a step: what it sets, by the names of stages in the recipe."""
    network_milliseconds: float | None = None
    """Of a step: how much of the time the stages take that the ladder sets; None for all of it."""
    qualities: dict[str, float] = field(default_factory=dict)
    """Of a step: its quality by kind of query, as shares of the pipeline's as it was fitted."""
    times: dict[str, float] = field(default_factory=dict)
    """Of a step: milliseconds by kind of query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Rungs from the best and slowest to the fastest; each step down must save time.

    Raises:
        ConfigError: there is no rung, two have one name, one is not faster than the one above it, steps set different
            stages, or one sets a stage to a rung that its ladder does not have.
    """

    rungs: Sequence[Rung]
    teacher: Rung | None = None
    """What everything is compared with: the network in torch, float32. It is measured and not served."""
    floor: float | None = None
    """Share of the teacher's quality that each rung was to keep."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    """What the figures of speed were measured on."""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """How everything was measured."""
    artifact: str | None = None
    """Of a pipeline's ladder: the sha256 of the artifact that the steps were measured with."""
    stages: Mapping[str, "Ladder"] = field(default_factory=dict)
    """Of a pipeline's ladder: those of its stages, by their names in the recipe."""

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ConfigError("a ladder needs at least one rung; measure the stage first.")
        for above, below in zip(self.rungs, self.rungs[1:], strict=False):
            if not below.milliseconds < above.milliseconds:
                raise ConfigError(f"rung {below.name!r} is not faster than {above.name!r} above it; leave it out.")
        if len({rung.name for rung in self.rungs}) < len(self.rungs):
            raise ConfigError("two rungs of a ladder have one name; rename one.")
        for step in self.rungs:
            self._check_settings(step.name, step.settings)

    def _check_settings(self, step: str, settings: Mapping[str, Setting]) -> None:
        if settings.keys() != self.rungs[0].settings.keys():
            raise ConfigError(f"step {step!r} does not set the same stages as the one above it; set all in each.")
        for name, setting in settings.items():
            rungs = [rung.name for rung in self.stages[name].rungs] if name in self.stages else []
            if setting.rung and setting.rung not in rungs:
                raise ConfigError(f"step {step!r} sets {name!r} to {setting.rung!r}; {nearest(setting.rung, rungs)}")

    def pick(self, milliseconds: float, *, floor: float = 0.0) -> Rung:
        """Return the best rung that meets a deadline, else the fastest; never one below the quality floor.

        Raises:
            ConfigError: no rung reaches the floor.

        >>> big = Rung(name="fp32", quality=0.70, milliseconds=8.0, bytes=90_000_000)
        >>> small = Rung(name="int8", quality=0.69, milliseconds=1.0, bytes=23_000_000)
        >>> Ladder(rungs=[big, small]).pick(2.0).name
        'int8'
        >>> Ladder(rungs=[big, small]).pick(2.0, floor=0.695).name
        'fp32'
        """
        good = [rung for rung in self.rungs if rung.quality >= floor]
        if not good:
            raise ConfigError(f"no rung reaches the quality floor {floor}; lower it or measure a better rung.")
        quick = [rung for rung in good if rung.milliseconds <= milliseconds]
        return max(quick, key=lambda rung: rung.quality) if quick else good[-1]

    def write(self, folder: Path) -> Self:
        """Write `ladder.json` beside the folders of the rungs, whole or not at all, and return what it says.

        Raises:
            ArtifactError: it cannot be written, or the folder of a rung is missing or empty.
        """
        written = self._sealed(folder)
        table = json.loads(json.dumps({"format": FORMAT, **asdict(written)}, allow_nan=False))
        table["sha256"] = digest(table)
        try:
            replace_file(folder / LADDER, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ArtifactError(
                    f"the disk is full, so {folder / LADDER} was not written; free some space."
                ) from error
            raise ArtifactError(f"{folder / LADDER} cannot be written ({error.strerror}); check the folder.") from error
        return written

    def _sealed(self, folder: Path) -> Self:
        rungs = [rung if rung.settings else replace(rung, files=_sealed(folder, rung)) for rung in self.rungs]
        stages = {name: ladder._sealed(folder) for name, ladder in self.stages.items()}
        return replace(self, rungs=rungs, stages=stages)

    @classmethod
    def read(cls, folder: Path, *, check: bool = True) -> Self:
        """Read what `write` wrote.

        Args:
            folder: holds `ladder.json` and the folders of the rungs.
            check: whether the files of the rungs are compared with their sha256, too.

        Raises:
            ArtifactError: it is missing, damaged or of another format, or a file of a rung is missing or altered.
        """
        table = _table(folder / LADDER)
        try:
            ladder = cls._of(table)
        except (ConfigError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder / LADDER} describes no ladder ({error}); {AGAIN}.") from None
        for rung in ladder._filed() if check else ():
            _check(folder, rung)
        return ladder

    @classmethod
    def _of(cls, table: Mapping[str, Any]) -> Self:
        rungs = [build(Rung, rung, LADDER) for rung in table["rungs"]]
        teacher = build(Rung, table["teacher"], LADDER) if table["teacher"] else None
        stages = {name: cls._of(inner) for name, inner in table.get("stages", {}).items()}
        rest = {name: table[name] for name in ("floor", "machine", "protocol")}
        return cls(rungs=rungs, teacher=teacher, artifact=table.get("artifact"), stages=stages, **rest)

    def _filed(self) -> list[Rung]:
        """Return the rungs that have files."""
        own = [rung for rung in self.rungs if not rung.settings]
        return [*own, *(rung for ladder in self.stages.values() for rung in ladder._filed())]


def _sealed(folder: Path, rung: Rung) -> dict[str, str]:
    own = _inside(folder, rung)
    try:
        files = sorted(file for file in own.rglob("*") if file.is_file())
        found = {file.relative_to(own).as_posix(): sha256(file) for file in files}
    except OSError as error:
        raise ArtifactError(f"the rung {own} cannot be read ({error.strerror}); check the folder.") from error
    if not found:
        raise ArtifactError(f"the rung {own} has no file; {AGAIN}.")
    return found


def _check(folder: Path, rung: Rung) -> None:
    own = _inside(folder, rung)
    for name, seal in rung.files.items():
        file = own / name
        if not file.resolve().is_relative_to(own.resolve()):
            raise ArtifactError(f"{folder / LADDER} names {name!r}, which lies outside the rung; {AGAIN}.")
        try:
            found = sha256(file)
        except FileNotFoundError:
            raise ArtifactError(f"{file} is missing; {AGAIN}.") from None
        except OSError as error:
            raise ArtifactError(f"{file} cannot be read ({error.strerror}); check its permissions.") from None
        if found != seal:
            raise ArtifactError(f"{file} was altered; {AGAIN}.")


def _inside(folder: Path, rung: Rung) -> Path:
    own = folder / rung.folder
    if not rung.folder or not own.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(f"rung {rung.name!r} names no folder inside {folder}; {AGAIN}.")
    return own


def _table(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        found, sound = table["format"], table.get("sha256") == digest(table)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"there is no ladder at {file.parent}; make one with `twofold compress`.") from None
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read ({error.strerror}); check its permissions.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{file} is damaged; {AGAIN}.") from None
    if found != FORMAT:
        raise ArtifactError(f"{file} has format {found}, and this version reads format {FORMAT}; {AGAIN}.")
    if not sound:
        raise ArtifactError(f"{file} was altered; {AGAIN}.")
    return dict(table)
