"""Part `sparse` of `compress-parts`: half of MiniLM's weights set to zero, as it is and healed; and what that buys.

`TWOFOLD_COMPRESS_STEPS` says how many steps healing takes; with 0 there is none.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.compress import scifact_data
from twofold.compress.distil import (
    Distil,
    DistilTask,
    Lesson,
    Reader,
    Texts,
    TextVectors,
    distil,
    outputs_of,
    without_dropout,
)
from twofold.compress.distil.teacher import open_graph
from twofold.compress.measure import Rounds, in_turns
from twofold.compress.prune import (
    Cubic,
    gradual,
    magnitude,
    repair,
    save_sparse,
    sparsify,
    sparsify_below,
    wanda,
    zero_share,
)
from twofold.compress.prune.scores import Scores
from twofold.compress.prune.sparse import Scope
from twofold.compress.runtime import GRAPH, Feed, OnnxRuntime
from twofold.encoders.text.model import load_model, save_model
from twofold.encoders.text.weights import find_model
from twofold.evaluate import bootstrap_interval, paired_test
from twofold.flows.compress import TextSubject
from twofold.train.options import Training

__all__ = ["sparse"]

SPARSITY, SEED = 0.5, 0
ABSTRACTS = 1_000
"""That the claims search among, those that answer them included."""
STEPS, BATCH, LESSONS, LESSON_TOKENS, PRUNINGS = 400, 32, 4_000, 48, 8
REPAIRING = 512
"""Texts by whose activations weights are repaired."""
PROBES = 64
"""Texts by whose activations Wanda scores."""

Values = npt.NDArray[np.float64]


def sparse(data: Path, tokens: int, progress: Callable[[str], None]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Prune by threshold, by magnitude and by Wanda, once without and once with healing, and judge each."""
    steps = int(os.environ.get("TWOFOLD_COMPRESS_STEPS", STEPS))
    with tempfile.TemporaryDirectory(prefix="twofold-") as work:
        trial = _Trial(data, tokens, steps, Path(work))
        teacher = trial.judged(trial.subject.copy())
        rows = [*_quality("teacher", teacher, teacher)]
        for name, prune in trial.ways().items():
            progress(f"sparse: {name}")
            model = trial.subject.copy()
            prune(model)
            rows += _quality(f"{name}, not healed", trial.judged(model), teacher)
            progress(f"sparse: {name}, repairing")
            begun = time.monotonic()
            trial.repaired(model)
            rows.append({"system": f"{name}, repaired", "metric": "seconds", "value": time.monotonic() - begun})
            rows += _quality(f"{name}, repaired", trial.judged(model), teacher)
        for name, (scores, scope) in trial.schedules().items() if steps else ():
            progress(f"sparse: {name}, healing")
            model = trial.subject.copy()
            found = trial.heal(model, scores, scope)
            rows += _quality(f"{name}, healed", trial.judged(model), teacher)
            rows.append({"system": f"{name}, healed", "metric": "seconds", "value": found.training.seconds})
            if name == "magnitude":
                rows += trial.costs(model, f"{name}, healed")
    return rows, {
        "model": "all-MiniLM-L6-v2",
        "tokens": tokens,
        "sparsity": f"{SPARSITY:.0%} of the weights of linear layers; tables, biases and norms stay",
        "threshold": "the median of all |w|, so that it is the sparsity over all layers together",
        "cases": f"300 test claims among {ABSTRACTS} abstracts that hold all answers; nothing is chosen on them",
        "healing": f"{steps} steps of {BATCH} texts of at most {LESSON_TOKENS} tokens, pruned little by little "
        "in the first two thirds; the last weights are taken",
        "repairing": f"twofold.compress.prune.repair on {REPAIRING} of these texts, without labels and steps",
        "lesson": f"{LESSONS} training claims and beginnings of abstracts with the teacher's vectors, no labels",
        "timing": "onnxruntime, one thread, the same graph with and without zeros in turns",
        "test": "paired randomisation, two-sided; intervals are bootstrap, 95 %",
        "seed": SEED,
    }


class _Trial:
    """The teacher, its judge and its lesson."""

    def __init__(self, data: Path, tokens: int, steps: int, work: Path) -> None:
        self.steps, self.work, self.source = steps, work, work / "teacher"
        save_model(load_model(find_model("minilm"), max_tokens=tokens), self.source)
        self.subject = TextSubject(self.source, scifact_data(data / "scifact", ABSTRACTS))
        reader = Reader.open(self.source, max_tokens=LESSON_TOKENS)
        texts = [text[: 20 * LESSON_TOKENS] for text in self.subject.data.texts[-LESSONS:]]
        self.texts = Texts.read(texts, reader)
        self.vectors = np.asarray(outputs_of(open_graph(self.source / GRAPH), self.texts))

    def probes(self) -> Iterator[Feed]:
        for start in range(0, PROBES, 16):
            yield self.texts.feed(np.arange(start, start + 16))

    def scores(self, module: nn.Module) -> Scores:
        """Score by Wanda, whichever module around the model it is."""
        vectors = module if isinstance(module, TextVectors) else TextVectors(module)
        return wanda(module, vectors.read, self.probes())

    def ways(self) -> dict[str, Callable[[nn.Module], object]]:
        """Return how weights become zero at once."""

        def threshold(model: nn.Module) -> None:
            sizes = torch.cat([one.flatten() for one in magnitude(model).values()])
            sparsify_below(model, float(sizes.kthvalue(round(SPARSITY * len(sizes))).values))

        return {
            "threshold": threshold,
            "magnitude": partial(sparsify, sparsity=SPARSITY, scope="layer"),
            "wanda": lambda model: sparsify(model, SPARSITY, scope="row", scores=self.scores(model)),
        }

    def repaired(self, model: Any) -> None:
        """Have what is left of a model take over what its zeros did, by least squares."""
        masks = {name: model.get_parameter(name) != 0 for name in magnitude(model)}
        rows = np.sort(np.random.default_rng(SEED).permutation(len(self.texts.lengths))[:REPAIRING])
        feeds = [self.texts.feed(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
        original = self.subject.copy().eval()
        repair(model.eval(), original, masks, (TextVectors(model).read, TextVectors(original).read), feeds)

    def schedules(self) -> dict[str, tuple[Callable[[nn.Module], Scores], Scope]]:
        """Return how they become zero little by little."""
        return {"threshold": (magnitude, "global"), "magnitude": (magnitude, "layer"), "wanda": (self.scores, "row")}

    def heal(self, model: nn.Module, scores: Callable[[nn.Module], Scores], scope: Scope) -> Any:
        end = max(self.steps * 2 // 3, 1)
        schedule = Cubic(final=SPARSITY, end=end, every=max(end // PRUNINGS, 1))

        def around(task: DistilTask) -> Any:
            return gradual(task, schedule, scope=scope, scores=scores)

        without_dropout(model)
        student = TextVectors(model)
        options = Distil(
            batch_size=BATCH,
            held_out=64,
            training=Training(steps=self.steps, lr=1e-4, evaluate_every=self.steps),
        )
        lesson = Lesson(examples=self.texts, vectors=self.vectors)
        found = distil(student, lesson, options, seed=SEED, around=around)
        left = 1 - float(np.mean(list(zero_share(student).layers.values())))
        if left > 1 - SPARSITY + 0.05:
            raise RuntimeError(f"healing brought weights back: {left:.1%} are left")
        return found

    def judged(self, model: Any) -> Values:
        """Return nDCG@10 of each claim."""
        vectors = TextVectors(model.eval())

        def network(feed: Feed) -> Any:
            with torch.inference_mode():
                return vectors.read(feed).numpy()

        return np.asarray(self.subject.quality(network, self.source, "report"))

    def costs(self, model: Any, name: str) -> list[dict[str, Any]]:
        """Return the bytes and times of a model with zeros beside the teacher's."""
        folder = self.work / "sparse"
        save_model(model, folder)
        stored = save_sparse({key: value.numpy() for key, value in model.state_dict().items()}, self.work / "weights")
        runs = {"dense": OnnxRuntime(self.source, output="sentence_embedding", threads=1)}
        runs["sparse"] = OnnxRuntime(folder, output="sentence_embedding", threads=1)
        feeds = {"one": self.texts.feed(np.arange(1)), "many": self.texts.feed(np.arange(32))}
        rows = [
            {"system": "teacher", "metric": "bytes, dense file", "value": float(stored.dense_bytes)},
            {"system": name, "metric": "bytes, sparse file", "value": float(stored.bytes)},
            {"system": name, "metric": "zeros of all weights", "value": stored.zeros / stored.weights},
        ]
        for use, feed in feeds.items():
            calls = {one: partial(run, feed) for one, run in runs.items()}
            found = in_turns(calls, Rounds(seconds=6.0, least=10))
            rows += [
                {"system": "teacher", "metric": f"ms, {use}", "value": found["dense"].median * 1000},
                {"system": name, "metric": f"ms, {use}", "value": found["sparse"].median * 1000},
                {"system": name, "metric": f"speedup, {use}", "value": found["sparse"].ratio(found["dense"])},
            ]
        return rows


def _quality(name: str, cases: Values, teacher: Values) -> list[dict[str, Any]]:
    low, high = bootstrap_interval(cases, rng=SEED)
    return [
        {"system": name, "metric": "ndcg@10", "value": float(cases.mean()), "low": low, "high": high},
        {"system": name, "metric": "kept", "value": float(cases.mean() / teacher.mean())},
        {"system": name, "metric": "p_value", "value": paired_test(cases, teacher, rng=SEED).p_value},
    ]
