import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from twofold.core.errors import DataError
from twofold.flows import obtain as module
from twofold.flows.obtain import obtain, unpack

FILES = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n1,10,5.0,100\n1,20,4.0,200\n",
    "movies.csv": b"movieId,title,genres\n10,Heat (1995),Action\n20,Casino (1995),Crime\n",
    "tags.csv": b"userId,movieId,tag,timestamp\n1,10,tense,300\n",
}


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in files.items():
            target.writestr(f"ml-latest-small/{name}", content)
    return buffer.getvalue()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small files above in place of MovieLens."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(module, "DIGESTS", digests)


@pytest.mark.usefixtures("no_network", "small_demo")
def test_without_a_network_a_catalogue_is_simulated() -> None:
    said: list[str] = []
    dataset = obtain(None, said.append)
    assert len(dataset.items) == 150
    assert len(said) == 1
    assert "no network" in said[0]
    assert "simulated" in said[0]


@pytest.mark.usefixtures("no_network", "known")
def test_a_download_is_kept_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        calls.append((url, timeout))
        return io.BytesIO(archive(FILES))

    monkeypatch.setattr("urllib.request.urlopen", answer)
    first, second = obtain(None, lambda _: None), obtain(None, lambda _: None)
    assert first.fingerprint() == second.fingerprint()
    assert first.item_ids.ids.to_list() == [10, 20]
    assert len(calls) == 1


@pytest.mark.usefixtures("known")
def test_an_altered_download_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"movies\.csv .* another sha256"):
        unpack(archive({**FILES, "movies.csv": b"movieId,title,genres\n"}), tmp_path / "ml-latest-small")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"<html>not found</html>", archive({"readme.txt": b""})])
def test_what_is_no_movielens_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not ml-latest-small\.zip"):
        unpack(content, tmp_path / "ml-latest-small")
    assert list(tmp_path.iterdir()) == []


def test_the_digests_are_those_of_the_real_files(data_folder: Path) -> None:
    for name, digest in module.DIGESTS.items():
        assert hashlib.sha256((data_folder / "ml-latest-small" / name).read_bytes()).hexdigest() == digest
