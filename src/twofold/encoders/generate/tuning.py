"""Teach: a generator learns to write what people wrote. Needs torch, transformers and peft."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

from twofold.core import Progress
from twofold.encoders.generate.model import Generator
from twofold.encoders.generate.sampling import Lesson
from twofold.train import Training, TrainingReport, train
from twofold.train.silence import silent

__all__ = ["teach"]

HELD_OUT = 0.1
"""Share of the lessons that the best weights are chosen by."""
RANK = 16
"""Of the low-rank updates."""
FEWEST = 20
"""With fewer lessons none is held out."""
IGNORED = -100
"""The label of tokens that are read and not learned."""


def teach(
    generator: Generator,
    lessons: Sequence[Lesson],
    options: Training,
    *,
    longest: int = 64,
    batch: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainingReport | None:
    """Fine-tune a generator, in place, to make the answers likely.

        loss = - mean over the tokens t of all answers of log p(t | prompt, the answer's tokens before t)

    Low-rank updates of all linear layers are learned and then added to the weights (LoRA). Where there are
    enough lessons, a tenth is held out, by whole prompts, and the weights that do best on it are kept.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Args:
        generator: who learns.
        lessons: what from; without any, nothing is done and None returned.
        options: how long and how.
        longest: tokens of a prompt's text, and of an answer, that are read.
        batch: lessons of a step.
        seed: of everything random.
        progress: told how it goes.
    """
    if not lessons:
        return None
    updates = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", lora_dropout=0.0)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), silent():
        torch.manual_seed(seed)
        adapted = get_peft_model(generator.module, updates)
    task = _Writing(generator, adapted, lessons, longest=longest, batch=batch, seed=seed)
    report = train(task, options, seed=seed, progress=progress)
    generator.module = adapted.merge_and_unload().eval()
    return report


class _Writing:
    """The task of making answers likely."""

    def __init__(
        self, generator: Generator, module: Any, lessons: Sequence[Lesson], *, longest: int, batch: int, seed: int
    ) -> None:
        self.generator, self.module, self.longest, self.batch = generator, module, longest, batch
        texts = sorted({lesson.prompt.text for lesson in lessons})
        count = int(len(texts) * HELD_OUT) if len(texts) >= FEWEST else 0
        apart = {texts[row] for row in np.random.default_rng(seed).permutation(len(texts))[:count]}
        self.held = [lesson for lesson in lessons if lesson.prompt.text in apart]
        self.lessons = [lesson for lesson in lessons if lesson.prompt.text not in apart]

    def batches(self, epoch: int, rng: np.random.Generator) -> list[list[Lesson]]:
        """Return the lessons in a random order."""
        return list(self._parts([self.lessons[row] for row in rng.permutation(len(self.lessons))]))

    def backward(self, batch: list[Lesson]) -> float:
        """Compute the mean loss of the answers' tokens and its gradients."""
        loss = self.module(**self._read(batch)).loss
        loss.backward()
        return float(loss.detach())

    def quality(self) -> float | None:
        """Return the mean log likelihood of a token of the held-out answers."""
        if not self.held:
            return None
        total, count = 0.0, 0
        for part in self._parts(self.held):
            read = self._read(part)
            tokens = int((read["labels"] != IGNORED).sum())
            total += float(self.module(**read).loss) * tokens
            count += tokens
        return -total / count

    def _parts(self, lessons: list[Lesson]) -> Iterator[list[Lesson]]:
        yield from (lessons[start : start + self.batch] for start in range(0, len(lessons), self.batch))

    def _read(self, batch: list[Lesson]) -> dict[str, torch.Tensor]:
        """Return the codes, mask and labels of a batch; only the answers and their ends are labelled."""
        tokenizer, seq2seq = self.generator.tokenizer, self.generator.seq2seq
        asked = [self.generator.read(self.generator.composed(lesson.prompt, self.longest)) for lesson in batch]
        answers = [self._answer(lesson.answer) for lesson in batch]
        if seq2seq:
            codes, labels = asked, answers
        else:
            codes = [before + after for before, after in zip(asked, answers, strict=True)]
            labels = [[IGNORED] * len(before) + after for before, after in zip(asked, answers, strict=True)]
        pad = tokenizer.pad_token_id
        device = self.generator.module.device
        return {
            "input_ids": _padded(codes, pad).to(device),
            "attention_mask": _padded([[1] * len(row) for row in codes], 0).to(device),
            "labels": _padded(labels, IGNORED).to(device),
        }

    def _answer(self, text: str) -> list[int]:
        text = text if self.generator.seq2seq else f" {text}"
        codes = self.generator.tokenizer(text, add_special_tokens=False)["input_ids"][: self.longest]
        return [*codes, self.generator.tokenizer.eos_token_id]


def _padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """Return rows of codes [b, t], filled up on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])
