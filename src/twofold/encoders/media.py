"""Files that items name, such as their photographs: found inside one folder, read, and counted where they fail."""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, DataError, needed_for
from twofold.core.ids import Id
from twofold.core.scores import Floats
from twofold.core.stage import Encoder, Modality

__all__ = ["Media", "MediaEncoder", "MediaReport", "Refused", "UnreadableError"]

T = TypeVar("T")
REPORT = "media.json"
MOST_BYTES = 20_000_000


class UnreadableError(DataError):
    """A file cannot be used; the message says why, and the caller knows which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file that was set aside."""

    item: Id
    file: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaReport:
    """What came of the files that items name."""

    items: int = 0
    read: int = 0
    missing: int = 0
    """Items that name no file."""
    refused: tuple[Refused, ...] = ()
    """Files that were set aside, each with the reason; their items count as items without a file."""

    def save(self, folder: Path) -> None:
        """Write it into a folder, as JSON."""
        (folder / REPORT).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "MediaReport":
        """Read what `save` wrote."""
        values = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return cls(**{**values, "refused": tuple(Refused(**row) for row in values["refused"])})


class Media:
    """Reads the files that a column of items names, one after the other, and counts what fails.

    Args:
        column: the column of `Dataset.items`; where it is missing, no item has a file.
        folder: paths are relative to it, and none may lead out of it: by `..`, by a link or by an absolute path.
        most_bytes: the largest file that is read.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, column: str, folder: str, most_bytes: int = MOST_BYTES) -> None:
        self.column, self.folder, self.most_bytes = column, Path(folder).expanduser(), most_bytes
        self.report = MediaReport()
        if not self.folder.is_dir():
            raise ConfigError(f"there is no folder {folder!r} with the items' files; give its path as `folder`.")

    def read(self, items: pl.DataFrame, decode: Callable[[bytes], T]) -> Iterator[tuple[int, T]]:
        """Yield the row and the decoded file of each item that has one; after the last, `report` is complete.

        Args:
            items: rows like those of `Dataset.items`.
            decode: turns the bytes of a file into what is wanted, or raises `UnreadableError`.

        Raises:
            DataError: the column holds no texts.
        """
        names = (
            items[self.column]
            if self.column in items.columns
            else pl.repeat(None, len(items), dtype=pl.String, eager=True)
        )
        if names.dtype not in (pl.String, pl.Null):
            raise DataError(f"the column {self.column!r} of the items holds {names.dtype}; give paths of files there.")
        read, missing = 0, 0
        refused: list[Refused] = []
        for row, (item, name) in enumerate(zip(items["item"], names, strict=True)):
            if not name:
                missing += 1
                continue
            try:
                value = decode(self._content(name))
            except UnreadableError as error:
                refused.append(Refused(item=item, file=name, reason=str(error)))
                continue
            read += 1
            yield row, value
        self.report = MediaReport(items=len(items), read=read, missing=missing, refused=tuple(refused))

    def _content(self, name: str) -> bytes:
        try:
            root = self.folder.resolve()
            path = (root / name).resolve()
            if ".." in Path(name).parts or not path.is_relative_to(root):
                raise UnreadableError("the path leads out of the folder")
            if not path.is_file():
                raise UnreadableError("there is no such file")
            with path.open("rb") as stream:
                content = stream.read(self.most_bytes + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, UnreadableError):
                raise
            raise UnreadableError(f"the file cannot be opened ({getattr(error, 'strerror', None) or error})") from None
        if len(content) > self.most_bytes:
            raise UnreadableError(f"the file has more than {self.most_bytes:,} bytes")
        return content


class MediaEncoder(Encoder):
    """Encodes items by the files that they name, with a network that is taken as it comes.

    Items without a file, and those whose file cannot be used, get zeros; `report` says which. `config` names the
    `column` with the files and the `folder` where they lie.
    """

    vectors: Floats
    report: MediaReport
    """What came of the items' files, at `fit` or at the last `update`."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Encode the items' files.

        Raises:
            ConfigError: the folder is missing, or the network's weights are not what they should be.
            MissingExtraError: torch or the package with the weights is not installed.
        """
        media = self._media()
        with needed_for(f"fitting {type(self).__name__}", "train"):
            self.load_network()
        features = self._seen(media, dataset.items)
        self.learn(features)
        self.vectors = self.finish(features)
        return self

    @abstractmethod
    def load_network(self) -> None:
        """Read the network's weights and make it ready to run; may need torch."""

    @abstractmethod
    def decode(self, content: bytes) -> Any:
        """Return what the network takes from a file's content.

        Raises:
            UnreadableError: it cannot be used.
        """

    @abstractmethod
    def features(self, decoded: Iterable[tuple[int, Any]], size: int) -> Floats:
        """Return what the network makes of decoded files, float32 [size, d]; rows that do not come are 0."""

    def learn(self, features: Floats) -> None:
        """Learn from the catalogue's features what `finish` needs."""

    def finish(self, features: Floats) -> Floats:
        """Return vectors for features."""
        return features

    def learns_log(self) -> bool:
        """See `Stage.learns_log`: it looks at the catalogue alone."""
        return False

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of files' contents; one that cannot be read gets zeros."""
        return self.finish(self.features(self._decoded(values), len(values)))

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return the vectors of items by their files; `report` says what came of them."""
        return self.finish(self._seen(self._media(), items))

    def save(self, folder: Path) -> None:
        """Write vectors and report."""
        np.save(folder / "vectors.npy", self.vectors, allow_pickle=False)
        self.report.save(folder)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs neither torch nor the weights' package."""
        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        self.report = MediaReport.load(folder)

    def decoded(self, items: pl.DataFrame) -> Iterator[tuple[int, Any]]:
        """Yield the row and the decoded file of each item that has one that can be read."""
        return self._media().read(items, self.decode)

    def _media(self) -> Media:
        return Media(self.config.column, self.config.folder)

    def _seen(self, media: Media, items: pl.DataFrame) -> Floats:
        features = self.features(media.read(items, self.decode), len(items))
        self.report = media.report
        return features

    def _decoded(self, values: Sequence[bytes]) -> Iterator[tuple[int, Any]]:
        """Yield the position and the decoded content of what can be read; the rest is passed over."""
        for row, value in enumerate(values):
            try:
                yield row, self.decode(value)
            except UnreadableError:
                continue
