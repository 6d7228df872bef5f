"""Pairs of a search text and an item's text: as tokens, and scored by onnxruntime and tokenizers alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from twofold.core.errors import ConfigError
from twofold.core.rungs import Network
from twofold.core.scores import Floats
from twofold.core.session import open_session

__all__ = ["PairScorer", "PairTokens", "Tokens"]

Tokens = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Token ids, mask (0 for padding) and sides (0 for the search text, 1 for the item's), each [b, l]."""
GRAPH, TOKENIZER = "model.onnx", "tokenizer.json"
LETTERS = 64
"""Characters read for each token that is kept; what is behind is not even tokenised."""


class PairTokens:
    """Cuts pairs of texts into tokens.

    Where a pair is too long, the longer text is cut first, so that the search text usually stays whole.

    Args:
        spelled: the content of a `tokenizer.json`.
        max_tokens: of a pair, special tokens included.

    Raises:
        ConfigError: it cannot be read.
    """

    def __init__(self, spelled: str, max_tokens: int) -> None:
        self.spelled = spelled
        self._letters = LETTERS * max_tokens
        try:
            self._tokenizer = Tokenizer.from_str(spelled)
        except Exception as error:  # the library raises plain Exception
            raise ConfigError(f"a tokenizer.json cannot be read ({error}); get it anew.") from error
        padding = self._tokenizer.padding
        self._pad = int(padding["pad_id"]) if padding else 0
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> Tokens:
        """Return the tokens of pairs, padded on the right to the longest."""
        pairs = [(self._read(one), self._read(other)) for one, other in zip(left, right, strict=True)]
        encodings = self._tokenizer.encode_batch(pairs)
        ids = np.full((len(pairs), max((len(encoding.ids) for encoding in encodings), default=0)), self._pad, np.int64)
        mask, sides = np.zeros_like(ids), np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            size = len(encoding.ids)
            ids[row, :size] = encoding.ids
            mask[row, :size] = 1
            # Not the token types: models without them have two texts all the same.
            begins = encoding.sequence_ids.index(1) if 1 in encoding.sequence_ids else size - 1
            sides[row, begins:size] = 1
        return ids, mask, sides

    def _read(self, text: str) -> str:
        """Return what is read of a text, without halves of surrogate pairs, which are no characters."""
        return text[: self._letters].encode("utf-8", "ignore").decode("utf-8")


class PairScorer:
    """Says how well items answer searches, by reading both texts together.

    Args:
        graph: the content of an ONNX file with inputs `input_ids`, `attention_mask` and `sides`, each int64 [b, l],
            and one output [b].
        tokens: cuts the texts.
        threads: for one batch; 0 takes as many as this process may use.
        batch_size: pairs at once.
        network: runs the graph in place of onnxruntime.

    Raises:
        ArtifactError: it is no graph that can be run.
    """

    def __init__(
        self,
        graph: bytes,
        tokens: PairTokens,
        *,
        threads: int = 0,
        batch_size: int = 32,
        network: Network | None = None,
    ) -> None:
        self._graph, self._tokens, self._batch_size = graph, tokens, batch_size
        self._network = network or _opened(graph, threads)

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> Floats:
        """Return the logit of each pair, float32 [b]."""
        scores = np.empty(len(left), np.float32)
        # Pairs of like length share a batch, so that little of it is padding.
        order = np.argsort([len(one) + len(other) for one, other in zip(left, right, strict=True)], kind="stable")
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            ids, mask, sides = self._tokens([left[row] for row in rows], [right[row] for row in rows])
            scores[rows] = self._network({"input_ids": ids, "attention_mask": mask, "sides": sides})
        return scores

    def save(self, folder: Path) -> None:
        """Write the graph and the tokenizer."""
        (folder / GRAPH).write_bytes(self._graph)
        (folder / TOKENIZER).write_text(self._tokens.spelled, encoding="utf-8")

    @classmethod
    def load(
        cls, folder: Path, *, max_tokens: int, threads: int = 0, batch_size: int, network: Network | None = None
    ) -> Self:
        """Read what `save` wrote, or the folder of a rung, whose network is given."""
        tokens = PairTokens((folder / TOKENIZER).read_text(encoding="utf-8"), max_tokens)
        graph = b"" if network else (folder / GRAPH).read_bytes()
        return cls(graph, tokens, threads=threads, batch_size=batch_size, network=network)


def _opened(graph: bytes, threads: int) -> Network:
    session = open_session(graph, "a cross-encoder", threads=threads)
    return lambda feed: np.asarray(session.run(None, dict(feed))[0])
