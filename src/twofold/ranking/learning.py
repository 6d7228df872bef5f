"""Teach a cross-encoder to put the right answer of a search above its rivals. Needs torch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.ranking.examples import Asked, Drawn, draw
from twofold.ranking.mixing import best_weight
from twofold.ranking.pair_model import PairModel
from twofold.ranking.pairs import PairTokens

__all__ = ["ListTask", "padded"]


class ListTask:
    """Listwise softmax: `-log softmax(logits of the right answer and its rivals)[right]`.

    Source: Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (ICML 2007), with one right
    answer; Gao, Dai and Callan, "Rethink Training of BERT Rerankers" (ECIR 2021) for rivals of the first ranking.

    Args:
        module: what is trained.
        tokens: cuts the texts.
        searches: what is learned from.
        held_out: what quality is measured on.
        texts: of all items.
        wrong: wrong answers in an example.
        batch_size: examples at once.
    """

    def __init__(
        self,
        module: PairModel,
        tokens: PairTokens,
        searches: Sequence[Asked],
        held_out: Sequence[Asked],
        texts: Sequence[str],
        *,
        wrong: int,
        batch_size: int,
    ) -> None:
        self.module: torch.nn.Module = module
        self.tokens, self.texts = tokens, texts
        self.searches, self.held_out = searches, held_out
        self.wrong, self.batch_size = wrong, batch_size
        self.device = module.weights.device

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[list[Drawn]]:
        """Draw the examples of an epoch."""
        drawn = draw(self.searches, self.texts, self.wrong, rng)
        return [drawn[start : start + self.batch_size] for start in range(0, len(drawn), self.batch_size)]

    def backward(self, batch: list[Drawn]) -> float:
        """Learn from some examples."""
        sizes = [len(example.candidates) for example in batch]
        left = [example.text for example in batch for _ in example.candidates]
        right = [text for example in batch for text in example.candidates]
        logits = torch.split(self._logits(left, right).float(), sizes)
        losses = [functional.cross_entropy(some[None], torch.zeros(1, dtype=torch.int64)) for some in logits]
        loss = torch.stack(losses).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def quality(self) -> float | None:
        """Return NDCG@10 of the held-out searches, at the weight of `mix` that is best for them."""
        if not self.held_out:
            return None
        items, first, own = padded(self.held_out, [self._scores(asked) for asked in self.held_out])
        return best_weight(items, first, own, [asked.grades for asked in self.held_out])[1]

    def _scores(self, asked: Asked) -> Floats:
        if not len(asked.found):
            return np.empty(0, np.float32)
        candidates = [self.texts[item] for item in asked.found.tolist()]
        with torch.no_grad():
            logits: Floats = self._logits([asked.text] * len(candidates), candidates).float().cpu().numpy()
        return logits

    def _logits(self, left: Sequence[str], right: Sequence[str]) -> torch.Tensor:
        ids, mask, sides = (torch.from_numpy(part).to(self.device) for part in self.tokens(left, right))
        logits: torch.Tensor = self.module(ids, mask, sides)
        return logits


def padded(searches: Sequence[Asked], own: Sequence[Floats]) -> tuple[Codes, Floats, Floats]:
    """Return the candidates of searches, their first scores and a ranker's as arrays [b, c]."""
    width = max((len(asked.found) for asked in searches), default=0)
    items = np.full((len(searches), width), -1, np.int32)
    first = np.full(items.shape, -np.inf, np.float32)
    scores = np.full(items.shape, np.nan, np.float32)
    for row, (asked, said) in enumerate(zip(searches, own, strict=True)):
        size = len(asked.found)
        items[row, :size], first[row, :size], scores[row, :size] = asked.found, asked.scores, said
    return items, first, scores
