"""Photographs of clothes: do they find their like, and does a text find them?"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core import Dataset, Encoder, Histories, IdMap
from twofold.core.errors import DataError
from twofold.core.scores import Floats
from twofold.encoders.image import ImageConfig, ImageEncoder
from twofold.encoders.image.centring import Centring
from twofold.encoders.joint import JointConfig, JointEncoder
from twofold.encoders.session import unit
from twofold.encoders.text import TextEncoder, TextEncoderConfig
from twofold.evaluate import bootstrap_interval

__all__ = ["run"]

NAMES = {
    "dress": "dress",
    "hat": "hat",
    "longsleeve": "long-sleeved shirt",
    "outwear": "jacket",
    "pants": "pair of trousers",
    "shirt": "shirt",
    "shoes": "pair of shoes",
    "shorts": "pair of shorts",
    "skirt": "skirt",
    "t-shirt": "T-shirt",
}
"""Each folder, and how a person would call what it shows."""
TITLE, ASKED = "A photo of a {}", "{}, second hand"
"""What items are called in training, and what is searched for: never the same words."""
SEEDS = 3
CHANCE = 200
"""Random orders that say what chance gives."""

Progress = Callable[[str], None]
Labels = npt.NDArray[np.str_]
Values = npt.NDArray[np.float64]


class Given(Encoder):
    """Another encoder's vectors of some items, so that nothing is encoded twice."""

    def __init__(self, encoder: Encoder, rows: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self.encoder, self.reads, self.vectors = encoder, encoder.reads, encoder.vectors[rows]

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Given":
        """Return itself; there is nothing to learn."""
        return self

    def encode(self, values: Sequence[Any], modality: Any) -> Floats:
        """See `Encoder.encode`."""
        return self.encoder.encode(values, modality)

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """See `Encoder.encode_items`."""
        return self.encoder.encode_items(items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """All photographs, encoded once."""

    dataset: Dataset
    labels: Labels
    images: ImageEncoder
    texts: TextEncoder
    half: npt.NDArray[np.bool_]
    """Which are for training: half of each class."""

    def trained(self, rows: npt.NDArray[np.int64], seed: int) -> JointEncoder:
        """Return the joint space as these photographs and their titles make it."""
        joint = JointEncoder(JointConfig())
        joint.linked = {"text": Given(self.texts, rows), "image": Given(self.images, rows)}
        return joint.fit(_catalogue(self.dataset.items[rows]), rng=seed)


def run(data: Path, progress: Progress) -> dict[str, Any]:
    """Measure image to image, text to image, and both for a class that training never saw."""
    photos, milliseconds = _read(data / "clothing-images" / "test", progress)
    rows = _images_to_images(photos)
    progress("text to image")
    rows += _texts_to_images(photos)
    progress("text to image, classes held out")
    rows += _unseen(photos)
    rows.append(_figure("EfficientNet-Lite0", "CPU ms a photo", milliseconds))
    protocol = {
        "photos": len(photos.labels),
        "classes": len(NAMES),
        "image to image": "leave one out: each photo asks for the others of its class among all others; no training",
        "choices": "that the default centres and does not whiten was decided on these very figures, which therefore "
        "say how much that matters here rather than what to expect elsewhere",
        "map": "mean over photos of average precision; by class: mean over classes of it",
        "text to image": f"trained on half of each class with titles like {TITLE.format('skirt')!r}; texts like "
        f"{ASKED.format('skirt')!r} rank the other half; recall: share of a class's photos among its first as many",
        "image to text": "share of the held-out photos that are nearest to the text of their own class",
        "unseen class": "one class after the other has no photo and no title in training, and is asked for among all "
        "ten in the held-out half",
        "seeds": SEEDS,
        "options": "the defaults, chosen by parting the training half once more; image vectors as the network gives",
        "interval": "95 % bootstrap over photos (image to image, image to text) or over classes, the mean of all seeds",
    }
    return {"protocol": protocol, "rows": rows}


def _read(folder: Path, progress: Progress) -> tuple[Photos, float]:
    """Encode all photographs and their titles; return also the processor's milliseconds for a photo."""
    files = sorted(folder.glob("*/*.jpg"))
    if not files:
        raise DataError(f"there are no photographs in {folder}; see its README for where to get them.")
    labels = np.array([file.parent.name for file in files])
    items = pl.DataFrame(
        {
            "item": [f"{file.parent.name}/{file.name}" for file in files],
            "title": [TITLE.format(NAMES[label]) for label in labels],
            "text": pl.Series([None] * len(files), dtype=pl.String),
            "categories": pl.Series([[]] * len(files), dtype=pl.List(pl.String)),
        }
    ).with_columns(pl.col("item").alias("image"))
    dataset = _catalogue(items)
    progress(f"encoding {len(files)} photographs")
    images = ImageEncoder(ImageConfig(folder=str(folder), dimensions=0)).fit(dataset)
    begun = time.process_time()
    images.encode([file.read_bytes() for file in files[:32]], "image")
    milliseconds = 1000 * (time.process_time() - begun) / 32
    progress("encoding the titles")
    texts = TextEncoder(TextEncoderConfig()).fit(dataset)
    rng, half = np.random.default_rng(0), np.zeros(len(files), bool)
    for name in NAMES:
        own = rng.permutation(np.flatnonzero(labels == name))
        half[own[: len(own) // 2]] = True
    return Photos(dataset=dataset, labels=labels, images=images, texts=texts, half=half), milliseconds


def _catalogue(items: pl.DataFrame) -> Dataset:
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series([], dtype=pl.String)),
        items=items,
        users=pl.DataFrame({"user": pl.Series([], dtype=pl.String)}),
        log=Histories.empty(0),
    )


def _images_to_images(photos: Photos) -> list[dict[str, Any]]:
    raw, labels = photos.images.vectors, photos.labels
    mean = raw.mean(axis=0)
    left, spreads, _ = np.linalg.svd(raw - mean, full_matrices=False)
    default = ImageConfig().dimensions
    centred = Centring.fit(raw, default)
    assert centred is not None
    systems = {
        "EfficientNet-Lite0, as it is": raw,
        f"EfficientNet-Lite0, centred, {default} directions (default)": centred(raw),
        "EfficientNet-Lite0, centred, 16 directions": unit((left * spreads)[:, :16]),
        "EfficientNet-Lite0, whitened, 128 directions": unit(left[:, :128]),
    }
    rng = np.random.default_rng(0)
    scores = {name: vectors @ vectors.T for name, vectors in systems.items()}
    precisions = {name: _leave_one_out(values, labels) for name, values in scores.items()}
    orders = (rng.random((len(labels), len(labels))) for _ in range(CHANCE // 10))
    precisions = {"chance": np.mean([_leave_one_out(order, labels) for order in orders], axis=0), **precisions}
    rows = []
    for name, values in precisions.items():
        rows.append(_figure(name, "image to image map", values.mean(), values))
        by_class = np.array([values[labels == one].mean() for one in NAMES])
        rows.append(_figure(name, "image to image map by class", by_class.mean(), by_class))
    return rows


def _leave_one_out(scores: npt.NDArray[np.floating], labels: Labels) -> Values:
    """Return each photo's average precision among all others."""
    others = ~np.eye(len(labels), dtype=bool)
    return np.array(
        [_precision(scores[row][others[row]], labels[others[row]] == labels[row]) for row in range(len(labels))]
    )


def _precision(scores: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> float:
    """Return the average precision of a ranking: the mean over right answers of the share of right ones down to it."""
    hits = right[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def _recall(scores: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> float:
    """Return the share of the right answers among the first as many."""
    return float(right[np.argsort(-scores, kind="stable")[: right.sum()]].mean())


def _texts_to_images(photos: Photos) -> list[dict[str, Any]]:
    labels = photos.labels[~photos.half]
    found = [_asked(photos, photos.trained(np.flatnonzero(photos.half), seed)) for seed in range(SEEDS)]
    rng = np.random.default_rng(0)
    chance = [rng.random(found[0].shape) for _ in range(CHANCE)]
    counts = np.array([(labels == name).mean() for name in NAMES])
    majority = np.array(list(NAMES))[counts.argmax()] == labels
    return [
        *_rows("chance", chance, labels),
        _figure("the largest class", "image to text", majority.mean(), majority.astype(float)),
        *_rows("joint space", found, labels),
    ]


def _asked(photos: Photos, joint: JointEncoder) -> Floats:
    """Return the score of each held-out photo for each class's text, [classes, photos]."""
    texts = joint.encode([ASKED.format(name) for name in NAMES.values()], "text")
    images = joint.projections["image"](photos.images.vectors[~photos.half])
    return texts @ images.T


def _rows(system: str, scores: Sequence[npt.NDArray[np.floating]], labels: Labels) -> list[dict[str, Any]]:
    """Return the figures of one system, the mean over its seeds first for each class or photo."""
    classes = np.array(list(NAMES))
    right = [labels == name for name in classes]
    precision, recall = (
        np.mean([[measure(row, own) for row, own in zip(one, right, strict=True)] for one in scores], axis=0)
        for measure in (_precision, _recall)
    )
    nearest = np.mean([classes[one.argmax(axis=0)] == labels for one in scores], axis=0)
    return [
        _figure(system, "text to image map", precision.mean(), precision),
        _figure(system, "text to image recall", recall.mean(), recall),
        _figure(system, "image to text", nearest.mean(), nearest),
    ]


def _unseen(photos: Photos) -> list[dict[str, Any]]:
    labels, half = photos.labels, np.flatnonzero(photos.half)
    held_out = labels[~photos.half]
    precision, recall, nearest = [], [], []
    for place, name in enumerate(NAMES):
        scores = [_asked(photos, photos.trained(half[labels[half] != name], seed)) for seed in range(SEEDS)]
        own = held_out == name
        precision.append(np.mean([_precision(one[place], own) for one in scores]))
        recall.append(np.mean([_recall(one[place], own) for one in scores]))
        nearest.append(np.mean([(one[:, own].argmax(axis=0) == place).mean() for one in scores]))
    named = {"map": precision, "recall": recall, "image to text": nearest}
    return [
        _figure(
            "joint space, class unseen in training",
            metric if " " in metric else f"text to image {metric}",
            np.mean(values),
            np.array(values),
        )
        for metric, values in named.items()
    ]


def _figure(system: str, metric: str, value: Any, values: Values | None = None) -> dict[str, Any]:
    low, high = (None, None) if values is None else bootstrap_interval(values, rng=0)
    return {"system": system, "metric": metric, "value": float(value), "low": low, "high": high}
