"""The network of the sequential model. Legend: b rows, w columns, d width, h heads, m items, c size of content."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from twofold.core.scores import Floats
from twofold.models.sequential.config import SequentialConfig
from twofold.models.sequential.events import GAPS, VALUES
from twofold.models.sequential.positions import rotary_tables
from twofold.train.precision import attention

__all__ = ["Known", "Network"]

POOL = 1 << 23
FAINT = 0.02
"""Standard deviation of vectors that start at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the m items before training."""

    counts: Floats
    """Likes, shape [m]."""
    vectors: Floats | None = None
    """From what they start, shape [m, d]."""
    content: Floats | None = None
    """What an encoder says of them, shape [m, c]."""
    projection: Floats | None = None
    """From content to vectors, what it starts from, shape [c, d]."""
    gaps: bool = False
    """Whether the events bear times."""
    values: bool = False
    """Whether their values differ."""


class Network(nn.Module):
    """A transformer with normalisation before each part, over the vectors of a history's events.

    `x_t = y_t + sum_j near_j * y_{t-j}` with `y_t = norm(item_t + gap_t + value_t)`; per block `x += attend(norm(x))`
    and `x += feed(norm(x))`; the state at an event is `norm(x_t)`, and `state_t . item_j + bias_j` says how likely
    item j is. Positions enter by rotation. The vectors of items are the same going in and coming out;
    `item_j = id_j + W content_j` where there is an encoder.
    Sources: Kang & McAuley, ICDM 2018 (SASRec); Sun et al., CIKM 2019 (BERT4Rec); Su et al., 2021 (RoPE).
    """

    def __init__(self, config: SequentialConfig, known: Known) -> None:
        super().__init__()
        width, self.config = config.width, config
        items = len(known.counts)
        start = torch.randn(items + 1, width) * FAINT
        if known.vectors is not None:
            start[:items] = torch.from_numpy(known.vectors)
        self.ids = nn.Parameter(start)  # the last row stands for a hidden item
        popular = np.log1p(known.counts)
        self.bias = nn.Parameter(torch.from_numpy((popular - popular.mean()).astype(np.float32)))
        self.gaps = nn.Embedding(GAPS, width) if known.gaps else None
        self.values = nn.Embedding(VALUES, width) if known.values else None
        for feature in (self.gaps, self.values):
            if feature is not None:
                nn.init.normal_(feature.weight, 0, FAINT)
        self.project = None
        if known.content is not None:
            self.content = nn.Buffer(torch.from_numpy(known.content), persistent=False)
            self.project = nn.Linear(known.content.shape[1], width, bias=False)
            if known.projection is not None:
                self.project.weight.data = torch.from_numpy(known.projection.T.copy())
        self.enter = nn.LayerNorm(width)
        near = config.kernel if config.objective == "causal" else 0
        self.near = nn.Parameter(torch.zeros(near, width)) if near else None
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.leave = nn.LayerNorm(width)
        self.drop = _Dropout(config.embedding_dropout)
        cosine, sine = (torch.from_numpy(table) for table in rotary_tables(config))
        self.cosine, self.sine = nn.Buffer(cosine, persistent=False), nn.Buffer(sine, persistent=False)

    def table(self) -> Tensor:
        """Return the vectors of the items [m + 1, d]; the last one stands for a hidden item."""
        if self.project is None:
            return self.ids
        ids = self.ids[:-1]
        if self.training and self.config.content_dropout:
            ids = ids * (torch.rand(len(ids), 1, device=ids.device) >= self.config.content_dropout)
        return torch.cat((ids + self.project(self.content), self.ids[-1:]))

    def forward(self, vectors: Tensor, gaps: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of events, [b, w, d], from their items' vectors [b, w, d] and features [b, w]."""
        if self.gaps is not None:
            vectors = vectors + self.gaps(gaps)
        if self.values is not None:
            vectors = vectors + self.values(values)
        states = self.drop(self.enter(vectors))
        width = states.shape[1]
        if self.near is not None:
            # Shifted sums take a tenth of the time of a grouped convolution on a CPU.
            shifted = (functional.pad(states, (0, 0, ago, 0))[:, :width] * near for ago, near in enumerate(self.near))
            states = states + sum(shifted)
        mask = None
        if self.config.objective == "masked":
            mask = (torch.arange(width, device=states.device) < lengths[:, None])[:, None, None]
        for block in self.blocks:
            states = block(states, (self.cosine[:width], self.sine[:width]), mask)
        left: Tensor = self.leave(states)
        return left


class _Block(nn.Module):
    """Attention to the events before, or to all where there is a mask, and a feed-forward part."""

    def __init__(self, config: SequentialConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look, self.gather = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = _Dropout(config.dropout)

    def forward(self, states: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        b, w, d = states.shape
        looked = self.look(self.before(states)).view(b, w, 3, self.heads, d // self.heads)
        query, key, value = looked.permute(2, 0, 3, 1, 4)
        query, key = _turned(query, turn), _turned(key, turn)
        seen = attention(query, key, value, mask)
        states = states + self.drop(self.gather(seen.transpose(1, 2).reshape(b, w, d)))
        wide = self.drop(functional.gelu(self.widen(self.between(states))))
        fed: Tensor = states + self.drop(self.narrow(wide))
        return fed


def _turned(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    (cosine, sine), (left, right) = turn, heads.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)


class _Dropout(nn.Module):
    """Dropout whose masks are pieces of one long random mask: on a CPU, drawing anew takes longer than the network."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return the values with a share of them set to 0 and the others made larger to match."""
        if not self.training or not self.share:
            return values
        size = values.numel()
        if values.device.type != "cpu" or size > POOL // 2:
            return functional.dropout(values, self.share)
        start = int(torch.randint(POOL - size, ()))
        return values * _pool(self.share, values.dtype)[start : start + size].view(values.shape)


@lru_cache(maxsize=4)
def _pool(share: float, dtype: torch.dtype) -> Tensor:
    drawn = torch.rand(POOL, generator=torch.Generator().manual_seed(0))
    return ((drawn >= share) / (1 - share)).to(dtype)
