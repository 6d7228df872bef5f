"""What a student learns on: examples of any kind, as feeds of a network. Free of torch.

A feed is a mapping from the names of a network's inputs to arrays whose first axis is the batch.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, DataError
from twofold.data.texts import item_texts

__all__ = ["Arrays", "Examples", "Feed", "Index", "Reader", "Texts", "Triples", "texts_of"]

Feed = Mapping[str, npt.NDArray[Any]]
Index = npt.NDArray[np.int64]
LETTERS = 64
"""Characters read for each token that is kept; what is behind is not even tokenised."""


class Examples(Protocol):
    """Rows that a network can be fed with, a few at a time."""

    @property
    def lengths(self) -> Index:
        """How much work each row is, [n]; rows of like length share a batch."""
        ...

    def feed(self, rows: Index) -> Feed:
        """Return the inputs of some rows."""
        ...

    def fingerprint(self) -> str:
        """Return a hash of all rows, for what is made of them to be known again."""
        ...


class Reader:
    """Cuts texts into tokens as a `tokenizer.json` says.

    Args:
        spelled: its content.
        max_tokens: where texts are cut; 0 as it says, and at 512 where it says nothing.

    Raises:
        ConfigError: it cannot be read.
    """

    def __init__(self, spelled: str, max_tokens: int = 0) -> None:
        try:
            self.tokenizer = Tokenizer.from_str(spelled)
        except Exception as error:  # the library raises plain Exception
            raise ConfigError(f"a tokenizer.json cannot be read ({error}); get it anew.") from error
        truncation, padding = self.tokenizer.truncation, self.tokenizer.padding
        self.max_tokens: int = max_tokens or (truncation or {}).get("max_length", 512)
        self.pad: int = int(padding["pad_id"]) if padding else 0
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.max_tokens)

    @classmethod
    def open(cls, folder: Path, max_tokens: int = 0) -> Self:
        """Read the `tokenizer.json` of a folder.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        try:
            return cls((folder / "tokenizer.json").read_text(encoding="utf-8"), max_tokens)
        except OSError as error:
            raise ConfigError(
                f"{folder} has no tokenizer.json ({error.strerror}); copy the model's own there."
            ) from None

    @property
    def size(self) -> int:
        """How many rows a table of its tokens needs: the largest id and one."""
        return 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values())

    @property
    def specials(self) -> Index:
        """The ids of tokens that stand for no text: those of the start, the end, padding, the unknown word."""
        marked = {place for place, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        model: Any = self.tokenizer.model
        unknown = self.tokenizer.token_to_id(str(getattr(model, "unk_token", None)))
        return np.array(sorted(marked | ({unknown} if unknown is not None else set())), np.int64)

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """The special tokens that are put before and behind a text."""
        for probe in ("a", "1", "."):
            encoding = self.tokenizer.encode(probe)
            own = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
            if own:
                return encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]
        return [], []

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, special ones included."""
        letters = LETTERS * self.max_tokens
        read = [text[:letters].encode("utf-8", "ignore").decode("utf-8") for text in texts]
        return [encoding.ids for encoding in self.tokenizer.encode_batch(read)]

    def spelled(self) -> str:
        """Return the content of a `tokenizer.json` that cuts and pads likewise."""
        copy = Tokenizer.from_str(self.tokenizer.to_str())
        copy.enable_padding(pad_id=self.pad, pad_token=copy.id_to_token(self.pad) or "[PAD]")
        spelled: str = copy.to_str(pretty=True)
        return spelled


class Texts:
    """Texts as tokens: `input_ids` and `attention_mask`, int64 [b, l], padded on the right.

    Args:
        tokens: the ids of each text; see `Reader`.
        pad: the padding token's id.

    Raises:
        DataError: a text has no token at all, or there is no text.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], pad: int = 0) -> None:
        self.tokens = [np.asarray(ids, np.int64) for ids in tokens]
        self.pad = pad
        self.lengths: Index = np.array([len(ids) for ids in self.tokens], np.int64)
        if not len(self.lengths) or not self.lengths.min():
            raise DataError("there is no text to distil on, or one without a token; give texts that say something.")

    @classmethod
    def read(cls, texts: Sequence[str], reader: Reader) -> Self:
        """Tokenise distinct texts; those that say nothing are left out.

        Raises:
            DataError: no text is left.
        """
        own = set(reader.specials.tolist())
        distinct = list(dict.fromkeys(text for text in texts if text.strip()))
        return cls([ids for ids in reader(distinct) if not own.issuperset(ids)], reader.pad)

    def take(self, rows: Index) -> "Texts":
        """Return some of the texts, in the given order."""
        return Texts([self.tokens[row] for row in rows.tolist()], self.pad)

    def feed(self, rows: Index) -> Feed:
        """See `Examples.feed`."""
        ids = np.full((len(rows), self.lengths[rows].max(initial=0)), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows.tolist()):
            ids[place, : self.lengths[row]] = self.tokens[row]
            mask[place, : self.lengths[row]] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def fingerprint(self) -> str:
        """See `Examples.fingerprint`."""
        return _hash([self.lengths, *self.tokens])

    def counts(self, size: int) -> Index:
        """Return how often each token occurs, [size]."""
        return np.bincount(np.concatenate(self.tokens), minlength=size)[:size].astype(np.int64)


class Triples:
    """Searches with a right and a wrong answer, for `losses.margin`: three rows of texts an example.

    Args:
        texts: searches and answers.
        rows: which of them, int64 [n, 3]: search, right answer, wrong answer.
    """

    def __init__(self, texts: Texts, rows: Index) -> None:
        self.texts, self.rows = texts, rows
        self.lengths: Index = texts.lengths[rows].max(axis=1, initial=0)

    def feed(self, rows: Index) -> Feed:
        """See `Examples.feed`; three times as many rows as asked for."""
        return self.texts.feed(self.rows[rows].reshape(-1))

    def fingerprint(self) -> str:
        """See `Examples.fingerprint`."""
        return _hash([self.texts.fingerprint().encode(), self.rows])


class Arrays:
    """Rows of arrays as they are: features of a ranker, vectors and lengths of histories, pictures.

    Args:
        arrays: the inputs of all rows, by name; all of one length.

    Raises:
        DataError: they differ in length, or there is none.
    """

    def __init__(self, arrays: Feed) -> None:
        self.arrays = dict(arrays)
        sizes = {len(array) for array in self.arrays.values()}
        if len(sizes) != 1 or not min(sizes):
            raise DataError(f"the arrays to distil on have {sorted(sizes)} rows; give as many of each, at least one.")
        self.lengths: Index = np.ones(min(sizes), np.int64)

    def feed(self, rows: Index) -> Feed:
        """See `Examples.feed`."""
        return {name: array[rows] for name, array in self.arrays.items()}

    def fingerprint(self) -> str:
        """See `Examples.fingerprint`."""
        return _hash([part for name, array in sorted(self.arrays.items()) for part in (name.encode(), array)])


def texts_of(dataset: Dataset) -> list[str]:
    """Return the catalogue's own texts to distil on, each once: titles, whole items, and what people searched for."""
    titles = dataset.items["title"].drop_nulls().to_list() if "title" in dataset.items.columns else []
    texts = dict.fromkeys([*titles, *item_texts(dataset.items), *dataset.queries["text"]])
    return [text for text in texts if text.strip()]


def _hash(parts: Sequence[npt.NDArray[Any] | bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return found.hexdigest()
