"""`PairSubject`: the network of a cross-encoder, judged by how well the teacher's order of candidates is kept.

A case is a search with the candidates that the artifact's own retrievers find for it; quality is nDCG@10 where the gain
of a candidate is its logit by the teacher, 0 at the median candidate and 1 at the best.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twofold.compress.runtime import Feed, write_graph
from twofold.core.errors import DataError
from twofold.core.scores import Floats
from twofold.flows.compress.attention import heads_of
from twofold.flows.compress.judging import gains_of, order_kept
from twofold.flows.compress.subject import Body, Making, Network, Part, Subject, Use
from twofold.ranking.pairs import PairTokens

__all__ = ["Asking", "PairSubject"]

FEWEST, MANY, CALIBRATION = 20, 32, 64

Asking = Sequence[tuple[str, Sequence[str]]]
"""Searches, each with the texts of its candidates."""


class PairSubject(Subject):
    """A fitted cross-encoder; see the module.

    Args:
        folder: what the stage saved: `model.onnx` and `tokenizer.json`.
        cases: searches with their candidates; every second one reports.
        max_tokens: of a pair.
        name: by which it is shown.

    Raises:
        DataError: there are too few searches with two candidates.
    """

    kind, output = "cross-encoder", "logits"
    metric = "nDCG@10 of the teacher's order"

    def __init__(self, folder: Path, cases: Asking, *, max_tokens: int, name: str) -> None:
        cases = [(search, texts) for search, texts in cases if search.strip() and len(texts) > 1]
        if len(cases) < FEWEST:
            raise DataError(
                f"compressing {name} needs {FEWEST} searches with two candidates at least, and there are {len(cases)}; "
                "fit it on data with searches, or with more items that have a title and a text."
            )
        self.name, self.graph = name, (folder / "model.onnx").read_bytes()
        self.tokens = PairTokens((folder / "tokenizer.json").read_text(encoding="utf-8"), max_tokens)
        self.parts: dict[Part, Asking] = {"choose": cases[::2], "report": cases[1::2]}
        self.heads, self.width = heads_of(self.graph)
        self._gains: dict[Part, list[dict[int, float]]] = {}
        self.about = {
            "quality": self.metric,
            "judged by": "the teacher: the gain of a candidate is its logit",
            **{f"cases to {part}": f"{len(found)} searches" for part, found in self.parts.items()},
        }

    def fingerprint(self) -> str:
        """See `Subject`."""
        told = json.dumps([self.kind, self.tokens.spelled, *self.parts.values()])
        return hashlib.sha256(self.graph + told.encode()).hexdigest()

    def export(self, making: Making) -> Sequence[str]:
        """See `Subject`."""
        write_graph(making.folder, self.graph)
        (making.folder / "tokenizer.json").write_text(self.tokens.spelled, encoding="utf-8")
        return ()

    def bodies(self) -> list[Body]:
        """Return none: the artifact holds no weights that could be trained further."""
        return []

    def teacher(self, threads: int) -> Network | None:
        """See `Subject`; an artifact holds the graph only."""
        return None

    def feeds(self, use: Use, folder: Path) -> list[Feed]:
        """See `Subject`."""
        pairs = [(search, text) for search, texts in self.parts["choose"] for text in texts]
        rows = {"one": 1, "many": MANY, "calibrate": CALIBRATION, "check": 33}[use]
        step = max(len(pairs) // rows, 1)  # of many searches, not the candidates of the first ones
        chosen = [pairs[place * step % len(pairs)] for place in range(rows)]
        size = 16 if use == "calibrate" else rows
        return [self._feed(chosen[start : start + size]) for start in range(0, rows, size)]

    def _feed(self, pairs: Sequence[tuple[str, str]]) -> Feed:
        ids, mask, sides = self.tokens([search for search, _ in pairs], [text for _, text in pairs])
        return {"input_ids": ids, "attention_mask": mask, "sides": sides}

    def prepare(self, network: Network, folder: Path) -> None:
        """See `Subject`."""
        for part in self.parts:
            self._gains[part] = list(map(gains_of, self._logits(network, part)))

    def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
        """See `Subject`; a search whose candidates the teacher does not tell apart is left out."""
        return order_kept(self._logits(network, part), self._gains[part], cut=False)

    def _logits(self, network: Network, part: Part) -> list[Floats]:
        return [network(self._feed([(search, text) for text in texts])) for search, texts in self.parts[part]]
