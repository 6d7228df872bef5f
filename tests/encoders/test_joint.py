"""`JointEncoder` over encoders that need no network."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Encoder, Histories, IdMap
from twofold.core.config import build, table
from twofold.core.errors import ConfigError, DataError, QueryError
from twofold.core.scores import Floats
from twofold.encoders.joint import JointConfig, JointEncoder
from twofold.encoders.joint_training import LEFT, RIGHT, Alignment
from twofold.encoders.session import unit
from twofold.train import Training

KINDS = 6


class Toy(Encoder):
    """Reads a column of numbers: a number becomes a noisy vector of its kind, turned as this encoder turns."""

    def __init__(self, modality: Any, width: int, noise: float) -> None:
        super().__init__()
        self.reads, self.width, self.noise = (modality,), width, noise
        rng = np.random.default_rng(width)
        self.turn = rng.normal(size=(KINDS, width))

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Toy":
        self.vectors = self.encode_items(dataset.items)
        return self

    def encode(self, values: Sequence[Any], modality: Any) -> Floats:
        rows = [self._row(value) for value in values]
        return unit(np.array(rows, np.float32).reshape(len(rows), self.width))

    def _row(self, value: float | None) -> Any:
        if value is None:
            return np.zeros(self.width)
        rng = np.random.default_rng(int(value * 1_000))
        return self.turn[int(value)] + rng.normal(size=self.width) * self.noise

    def encode_items(self, items: pl.DataFrame) -> Floats:
        return self.encode(items[self.reads[0]].to_list(), self.reads[0])


def toys() -> dict[str, Toy]:
    return {"text": Toy("text", 12, 0.0), "image": Toy("image", 20, 0.5), "audio": Toy("audio", 8, 0.5)}


def catalogue(count: int = 120) -> Dataset:
    """Items of six kinds; those before the last thirty have a text and an image."""
    rng = np.random.default_rng(1)
    kinds = np.arange(count) % KINDS
    text: list[float | None] = [float(kind) for kind in kinds]
    image: list[float | None] = (kinds + rng.random(count) * 0.99).tolist()
    audio: list[float | None] = (kinds + rng.random(count) * 0.99).tolist()
    for row in range(count - 30, count):
        text[row] = None if row % 2 else text[row]
        image[row] = image[row] if row % 2 else None
        audio[row] = None
    text[-1] = image[-1] = text[-2] = image[-2] = None
    schema = {"item": pl.Int64, "text": pl.Float64, "image": pl.Float64, "audio": pl.Float64}
    items = pl.DataFrame({"item": range(count), "text": text, "image": image, "audio": audio}, schema=schema)
    likes = [[int(item) for item in rng.permutation(np.flatnonzero(kinds == kind))[:9]] for kind in range(KINDS)]
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series(range(KINDS))),
        items=items,
        users=pl.DataFrame({"user": range(KINDS)}),
        log=Histories.from_lists(likes),
    )


def fitted(dataset: Dataset, **options: Any) -> JointEncoder:
    training = Training(lr=5e-3, epochs=40, precision="float32", threads=1)
    joint = JointEncoder(JointConfig(**{"dimensions": 16, "training": training, **options}))
    joint.linked = {name: toy.fit(dataset) for name, toy in toys().items() if getattr(joint.config, name)}
    return joint.fit(dataset, rng=5)


@pytest.mark.parametrize("options", [{}, {"hidden": 24}, {"audio": "audio"}, {"behaviour": 5}])
def test_texts_find_images_that_training_never_saw(options: dict[str, Any]) -> None:
    joint = fitted(catalogue(), **options)
    fresh = [kind + 0.9951 for kind in range(KINDS)]
    images = joint.encode(fresh, "image")
    texts = joint.encode([float(kind) for kind in range(KINDS)], "text")
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert ((texts @ images.T).argmax(axis=1) == np.arange(KINDS)).all()
    assert ((images @ joint.vectors.T).argmax(axis=1) % KINDS == np.arange(KINDS)).all()


def test_an_item_is_the_mean_of_what_it_has() -> None:
    dataset = catalogue()
    joint = fitted(dataset)
    text, image = (joint.projections[name](joint.linked[name].vectors) for name in ("text", "image"))
    np.testing.assert_allclose(joint.vectors[:90], unit(text + image)[:90], atol=1e-5)
    np.testing.assert_allclose(joint.vectors[90], text[90], atol=1e-5)
    np.testing.assert_allclose(joint.vectors[91], image[91], atol=1e-5)
    assert not joint.vectors[118:].any()
    for row in (
        91,
        92,
        93,
        94,
    ):  # an image alone and a text alone in turns: beside whole ones of their kind
        assert (joint.vectors[:90] @ joint.vectors[row]).argmax() % KINDS == row % KINDS


def test_new_items_are_placed_without_training() -> None:
    dataset = catalogue()
    joint = fitted(dataset, behaviour=5)
    before = np.array(joint.vectors)
    new = pl.DataFrame({"item": [500, 0], "image": [3.5, 4.5]})
    larger, changed = dataset.with_items(new)
    for encoder in joint.linked.values():
        encoder.update(larger, changed)
    joint.update(larger, changed)
    assert joint.vectors.shape == (121, 16)
    np.testing.assert_array_equal(joint.vectors[1:120], before[1:])
    np.testing.assert_allclose(joint.vectors[120], joint.encode([3.5], "image")[0], atol=1e-5)
    assert not np.allclose(joint.vectors[0], before[0], atol=1e-2)
    np.testing.assert_allclose(joint.encode_items(larger.items[120:]), joint.vectors[120:], atol=1e-5)


def test_one_seed_one_space() -> None:
    one, other = fitted(catalogue()), fitted(catalogue())
    np.testing.assert_array_equal(one.vectors, other.vectors)


def test_it_comes_back_without_torch(tmp_path: Path) -> None:
    dataset = catalogue()
    joint = fitted(dataset, behaviour=3)
    folder = tmp_path / "saved"
    folder.mkdir()
    joint.save(folder)
    dataset.save(tmp_path / "dataset")
    program = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from twofold.core import Dataset\n"
        "from twofold.encoders.joint import JointConfig, JointEncoder\n"
        "joint = JointEncoder(JointConfig(dimensions=16, behaviour=3))\n"
        "joint.restore(Path('saved'), Dataset.load(Path('dataset')))\n"
        "print(joint.projections['image'](np.ones((1, 20), np.float32)).tolist())\n"
        "assert joint.vectors.shape == (120, 16) and joint.behaviour.shape == (120, 3)\n"
        "assert 'torch' not in sys.modules\n"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True)
    expected = joint.projections["image"](np.ones((1, 20), np.float32)).tolist()
    assert found.stdout.strip() == str(expected)


def test_sides_are_disjoint_and_never_empty() -> None:
    dataset = catalogue()
    inputs = {name: toy.fit(dataset).vectors for name, toy in toys().items()}
    task = Alignment(inputs, JointConfig(audio="audio", held_out=0), np.random.default_rng(0))
    ((rows, sides),) = task.batches(0, np.random.default_rng(0))
    assert sorted(rows) == list(range(90))
    assert ((sides == LEFT).any(axis=1) & (sides == RIGHT).any(axis=1)).all()
    assert (sides == 0).any()
    assert not sides[~task.present[rows]].any()


def test_items_with_equal_texts_are_no_negatives() -> None:
    dataset = catalogue()
    inputs = {name: toys()[name].fit(dataset).vectors for name in ("text", "image")}
    task = Alignment(inputs, JointConfig(held_out=0), np.random.default_rng(0))
    groups = task.alike.numpy()
    assert len(set(groups[:90])) == KINDS
    assert groups[0] == groups[6] != groups[1]
    assert len(set(groups[[91, 93, 95]])) == 3  # without a text, each is alone


def test_what_cannot_be_learned_is_said() -> None:
    dataset = catalogue()
    lonely = Dataset(
        item_ids=dataset.item_ids,
        user_ids=dataset.user_ids,
        items=dataset.items.with_columns(pl.lit(None, pl.Float64).alias("image")),
        users=dataset.users,
        log=dataset.log,
    )
    with pytest.raises(DataError, match="fewer than two items have several of text, image"):
        fitted(lonely)


def test_a_wrong_encoder_or_modality_is_said() -> None:
    joint = JointEncoder()
    joint.linked = {"text": toys()["text"], "image": toys()["audio"]}
    with pytest.raises(ConfigError, match="'image' reads no image"):
        joint.fit(catalogue())
    fine = fitted(catalogue())
    assert fine.reads == ("text", "image")
    with pytest.raises(QueryError, match="no audio"):
        fine.encode([b""], "audio")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"text": ""}, "at least two"),
        ({"dimensions": 0}, "dimensions"),
        ({"batch": 1}, "batch"),
        ({"temperature": 0.0}, "temperature"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build(JointConfig, options, "encode.joint")


def test_the_options_survive_a_recipe() -> None:
    config = JointConfig(behaviour=8, training=Training(steps=5))
    assert build(JointConfig, table(config), "encode.joint") == config
