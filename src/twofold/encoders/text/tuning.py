"""Fine-tune a text encoder with torch: contrastive learning on pairs, whole or by low-rank matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from twofold.core import Progress
from twofold.core.errors import ConfigError, DataError
from twofold.encoders.text.finetune import FineTune
from twofold.encoders.text.pairs import Drawn, HeldOut, Pairs
from twofold.train import TrainingReport, cached_backward, contrastive, matryoshka, train

__all__ = ["tune"]

Index = npt.NDArray[np.int64]


def tune(
    model: SentenceTransformer,
    pairs: Pairs,
    options: FineTune,
    *,
    seed: int,
    checkpoint: Path | None,
    about: Mapping[str, Any] | None,
    progress: Progress | None,
) -> TrainingReport:
    """See `finetune`."""
    if not pairs.size:
        raise DataError("there is no pair of texts to learn from; give likes, searches, or titles with texts.")
    size = int(model.get_embedding_dimension() or 0)
    if too_long := [length for length in options.dimensions if length > size]:
        raise ConfigError(f"the model's vectors have {size} dimensions, fewer than {max(too_long)}; lower dimensions.")
    before = model.max_seq_length
    model.max_seq_length = min(before or options.max_tokens, options.max_tokens)
    wanted = {name: value.requires_grad for name, value in model.named_parameters()}
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _freeze(model, options)
        task = PairTask(model, pairs, options)
        belonging = {"tuning": asdict(options), **(about or {})}
        report = train(task, options.training, seed=seed, checkpoint=checkpoint, about=belonging, progress=progress)
    finally:
        if options.lora:
            _merge(model)
        model.max_seq_length = before
        for name, value in model.named_parameters():
            value.requires_grad_(wanted[name])
    return report


def _freeze(model: SentenceTransformer, options: FineTune) -> None:
    """Leave trainable what the options say."""
    transformer = model[0].auto_model
    assert isinstance(transformer, torch.nn.Module)
    if options.lora:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415  for LoRA only

        model.requires_grad_(False)
        linear = {name for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)}
        config = LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules=sorted(linear))
        inject_adapter_in_model(config, transformer)
    if not options.frozen_layers:
        return
    stacks = [module for module in transformer.modules() if isinstance(module, torch.nn.ModuleList)]
    layers = max(stacks, key=len, default=torch.nn.ModuleList())
    if options.frozen_layers > len(layers):
        raise ConfigError(f"the model has {len(layers)} layers, fewer than frozen_layers = {options.frozen_layers}.")
    for layer in layers[: options.frozen_layers]:
        layer.requires_grad_(False)
    for module in transformer.modules():
        if isinstance(module, torch.nn.Embedding):
            module.requires_grad_(False)


def _merge(model: SentenceTransformer) -> None:
    """Add low-rank matrices to those that they stand beside, and leave no trace of them."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415  for LoRA only

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Pairs of a batch with their hard negatives, and the texts of both, each once and the shortest first."""

    pairs: Drawn
    log_q: Tensor
    hard: Index
    texts: Index


class PairTask:
    """Contrastive learning on pairs, as the loop wants it."""

    def __init__(self, model: SentenceTransformer, pairs: Pairs, options: FineTune) -> None:
        self.module, self.pairs, self.options = model, pairs, options
        self.device = next(model.parameters()).device
        self.prompts = [model.prompts.get(name) or "" for name in ("document", "query")]
        self.lengths = np.array([len(text) for text in pairs.texts])

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[_Batch]:
        """Draw the pairs of an epoch; a rest that fills no batch is left out, unless it is all there is."""
        drawn = self.pairs.draw(rng)
        counts = np.bincount(drawn.ids, minlength=self.pairs.items)
        log_q = torch.from_numpy(np.log(np.maximum(counts, 1) / max(len(drawn), 1)).astype(np.float32))
        size = min(self.options.batch_size, len(drawn))
        return [
            self._batch(drawn.take(slice(start, start + size)), log_q, rng)
            for start in range(0, len(drawn) - size + 1, max(size, 1))
        ]

    def _batch(self, drawn: Drawn, log_q: Tensor, rng: np.random.Generator) -> _Batch:
        mined = [self.pairs.hard[anchor] for anchor in drawn.anchors.tolist() if anchor in self.pairs.hard]
        count = self.options.hard
        chosen = [rng.choice(codes, min(count, len(codes)), replace=False) for codes in mined]
        hard = np.unique(np.concatenate([np.empty(0, np.int32), *chosen])).astype(np.int64)
        texts = np.unique(np.concatenate((drawn.anchors, drawn.positives, hard)))
        texts = texts[np.argsort(self.lengths[texts], kind="stable")]
        return _Batch(pairs=drawn, log_q=log_q[drawn.ids], hard=hard, texts=texts)

    def backward(self, batch: _Batch) -> float:
        """Contrast each anchor's positive with those of the others, and with the hard negatives of all."""
        parts = [batch.texts[at : at + self.options.part] for at in range(0, len(batch.texts), self.options.part)]
        order = np.argsort(batch.texts)

        def rows(places: Index) -> Tensor:
            return torch.from_numpy(order[np.searchsorted(batch.texts[order], places)]).to(self.device)

        pairs = batch.pairs
        anchors, positives, hard = rows(pairs.anchors), rows(pairs.positives), rows(batch.hard)
        known = self.pairs.belongs(pairs.anchors, np.concatenate((pairs.ids, batch.hard)))
        ids = torch.from_numpy(pairs.ids).to(self.device)
        contrast = partial(
            contrastive,
            temperature=self.options.temperature,
            known=torch.from_numpy(known).to(self.device),
        )
        mean = matryoshka(contrast, self.options.dimensions)

        def loss(vectors: Tensor) -> Tensor:
            further = vectors[hard] if len(hard) else None
            return mean(vectors[anchors], vectors[positives], ids, batch.log_q.to(self.device), further)

        return cached_backward(self._encode, [parts], loss)

    def _encode(self, places: Index) -> Tensor:
        """Return the vectors of texts, [texts, d]."""
        asks = self.pairs.asks[places]
        features = self.module.preprocess(
            [self.prompts[int(ask)] + self.pairs.texts[place] for place, ask in zip(places, asks, strict=True)]
        )
        moved = {
            name: value.to(self.device) if isinstance(value, Tensor) else value for name, value in features.items()
        }
        vectors: Tensor = self.module(moved)["sentence_embedding"]
        return vectors

    def quality(self) -> float | None:
        """Return the mean reciprocal rank of held-out positives, each kind of pairs counting the same."""
        found = [self._reciprocal_rank(held) for held in self.pairs.held_out]
        return float(np.mean(found)) if found else None

    def _reciprocal_rank(self, held: HeldOut) -> float:
        """Rank each positive among the candidates that do not belong to the anchor too; ties count against it."""
        texts = np.unique(np.concatenate((held.pairs.anchors, held.candidates)))
        by_length = texts[np.argsort(self.lengths[texts], kind="stable")]
        size = self.options.part
        parts = [self._encode(by_length[at : at + size]).float().cpu() for at in range(0, len(by_length), size)]
        vectors = np.empty((len(texts), parts[0].shape[1]), np.float32)
        vectors[np.searchsorted(texts, by_length)] = torch.nn.functional.normalize(torch.cat(parts), dim=1).numpy()
        left, right = (vectors[np.searchsorted(texts, some)] for some in (held.pairs.anchors, held.candidates))
        scores = left @ right.T
        target = held.candidates == held.pairs.positives[:, None]
        own = scores[target]
        rivals = ~target & ~self.pairs.belongs(held.pairs.anchors, held.ids)
        return float(np.mean(1 / (1 + ((scores >= own[:, None]) & rivals).sum(axis=1))))
