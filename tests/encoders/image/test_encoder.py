"""`ImageEncoder` with a tiny network in place of the real one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tests.encoders.image.conftest import catalogue, encoded, noise

from twofold.core import Dataset, Pipeline, Query, Recipe
from twofold.core.errors import ConfigError, DataError
from twofold.encoders.image import ImageConfig, ImageEncoder

Write = Callable[[str, bytes], str]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that only averages: in place of weights that take seconds to read."""

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        layers = torch.nn.AvgPool2d(56), torch.nn.Flatten(), torch.nn.Linear(48, 1280)
        return torch.nn.Sequential(*layers).eval()

    monkeypatch.setattr("twofold.encoders.image.efficientnet.read_weights", network)
    monkeypatch.setattr("twofold.encoders.image.centring.FEWEST", 5)  # the tests' catalogue has no more


@pytest.fixture
def dataset(write: Write) -> Dataset:
    good = [write(f"{seed}.jpg", encoded(noise(seed), "JPEG")) for seed in range(5)]
    broken = write("broken.jpg", encoded(noise(9), "JPEG")[:300])
    text = write("text.jpg", b"a text with the wrong name")
    return catalogue([*good, None, broken, "", text, "nowhere.png", "../outside.png"])


def encoder(folder: Path, **options: int) -> ImageEncoder:
    return ImageEncoder(ImageConfig(folder=str(folder), threads=1, **options))


def test_bad_files_are_kept_aside_with_file_and_reason(dataset: Dataset, tmp_path: Path) -> None:
    stage = encoder(tmp_path, dimensions=4).fit(dataset)
    report = stage.report
    assert (report.items, report.read, report.missing) == (11, 5, 2)
    reasons = {refused.item: (refused.file, refused.reason) for refused in report.refused}
    assert reasons.keys() == {"i6", "i8", "i9", "i10"}
    assert reasons["i8"][0] == "text.jpg"
    assert reasons["i8"][1].startswith("it is no image")
    assert reasons["i9"] == ("nowhere.png", "there is no such file")
    assert reasons["i10"] == ("../outside.png", "the path leads out of the folder")
    lengths = np.linalg.norm(stage.vectors, axis=1)
    np.testing.assert_allclose(lengths, [1] * 5 + [0] * 6, atol=1e-5)
    assert stage.vectors.shape == (11, 4)


@pytest.mark.parametrize("dimensions", [0, 3])
def test_an_image_finds_its_own_item(dataset: Dataset, tmp_path: Path, dimensions: int) -> None:
    stage = encoder(tmp_path, dimensions=dimensions).fit(dataset)
    content = (tmp_path / "3.jpg").read_bytes()
    found = stage.encode([b"no image", content, content], "image")
    assert not found[0].any()
    assert (found[1] @ stage.vectors.T).argmax() == 3
    np.testing.assert_allclose(found[1], stage.vectors[3], atol=1e-4)


def test_batches_of_any_size_give_the_same(dataset: Dataset, tmp_path: Path) -> None:
    one, many = (encoder(tmp_path, dimensions=0, batch=size).fit(dataset).vectors for size in (1, 16))
    np.testing.assert_allclose(one, many, atol=1e-4)


def test_a_catalogue_without_images_is_no_error(dataset: Dataset, tmp_path: Path) -> None:
    plain = Dataset(
        item_ids=dataset.item_ids,
        user_ids=dataset.user_ids,
        items=dataset.items.drop("image"),
        users=dataset.users,
        log=dataset.log,
    )
    stage = encoder(tmp_path).fit(plain)
    assert stage.report.missing == 11
    assert not stage.vectors.any()


def test_a_new_item_is_encoded_at_once(dataset: Dataset, tmp_path: Path) -> None:
    stage = encoder(tmp_path, dimensions=3).fit(dataset)
    before = np.array(stage.vectors)
    new = pl.DataFrame({"item": ["new", "i0"], "image": ["2.jpg", "4.jpg"]})
    larger, changed = dataset.with_items(new)
    stage.update(larger, changed)
    assert stage.vectors.shape == (12, 3)
    np.testing.assert_allclose(stage.vectors[11], before[2], atol=1e-4)
    np.testing.assert_allclose(stage.vectors[0], before[4], atol=1e-4)
    np.testing.assert_array_equal(stage.vectors[1:11], before[1:])
    assert stage.report.read == 2


def test_it_comes_back_without_torch(dataset: Dataset, tmp_path: Path) -> None:
    stage = encoder(tmp_path, dimensions=3).fit(dataset)
    folder = tmp_path / "saved"
    folder.mkdir()
    stage.save(folder)
    dataset.save(tmp_path / "dataset")
    program = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from twofold.core import Dataset\n"
        "from twofold.encoders.image import ImageConfig, ImageEncoder\n"
        "stage = ImageEncoder(ImageConfig(folder='.', dimensions=3, threads=1))\n"
        "stage.restore(Path('saved'), Dataset.load(Path('dataset')))\n"
        "found = stage.encode([Path('1.jpg').read_bytes()], 'image')\n"
        "np.testing.assert_allclose(found[0], stage.vectors[1], atol=1e-4)\n"
        "assert stage.report.refused[0].item == 'i6'\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_wrong_options_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dimensions"):
        ImageConfig(dimensions=5_000)
    with pytest.raises(ConfigError, match="there is no folder"):
        encoder(tmp_path / "missing").fit(dataset)
    with pytest.raises(DataError, match="holds List"):
        ImageEncoder(ImageConfig(folder=str(tmp_path), column="categories")).fit(dataset)


def test_a_picture_in_any_mode_has_a_vector(write: Write, tmp_path: Path) -> None:
    modes = ("1", "L", "P", "RGBA", "LA")
    names = [write(f"{mode}.png", encoded(noise(7).convert(mode))) for mode in modes]
    names += [
        write("tiny.png", encoded(Image.new("RGB", (1, 1)))),
        write("ink.jpg", encoded(noise(7).convert("CMYK"), "JPEG")),
    ]
    stage = encoder(tmp_path, dimensions=0).fit(catalogue(names))
    assert stage.report.read == len(names)
    np.testing.assert_allclose(np.linalg.norm(stage.vectors, axis=1), 1, atol=1e-5)


def test_a_pipeline_searches_by_image_and_by_look(dataset: Dataset, write: Write, tmp_path: Path) -> None:
    options = {"folder": str(tmp_path), "dimensions": 0, "threads": 1}
    recipe = Recipe.from_table(
        {
            "name": "look",
            "encode": {"look": {"kind": "image-encoder", **options}},
            "retrieve": {"near": {"kind": "dense", "encoder": "look"}, "popular": {"kind": "popularity"}},
            "evidence": {"image": {"near": 1.0}, "items": {"near": 1.0}, "nothing": {"popular": 1.0}},
        }
    )
    pipeline = Pipeline(recipe).fit(dataset, rng=0)
    third = (tmp_path / "3.jpg").read_bytes()
    assert pipeline.run(Query(image=third, k=2)).items[0] == "i3"
    assert pipeline.run(Query(image=b"no image", k=2)).items == []
    write("again.jpg", third)
    pipeline.put_items(pl.DataFrame({"item": ["twin"], "title": ["Twin"], "image": ["again.jpg"]}))
    assert pipeline.run(Query(items=["i3"], k=1)).items == ["twin"]
    pipeline.save(tmp_path / "artifact")
    again = Pipeline.load(tmp_path / "artifact")
    assert set(again.run(Query(image=third, k=2)).items) == {"i3", "twin"}
