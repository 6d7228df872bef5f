import errno
from pathlib import Path

import numpy as np
import pytest

from twofold.compress.distil import Texts, open_graph, outputs_of, table_graph, top_items
from twofold.core.errors import ArtifactError, ConfigError

TEXTS = Texts([[1, 2], [3], [1, 2, 3], [2], [3, 3]])
EXPECTED = np.array([[3, 2], [3, 1], [6, 3], [2, 1], [6, 2]], np.float32)


class Counting:
    """Says the sum and the number of a text's tokens; stops after some batches."""

    def __init__(self, fail_at=None, change=0.0):
        self.calls, self.fail_at, self.change = 0, fail_at, change

    def __call__(self, feed):
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.calls += 1
        sums = (feed["input_ids"] * feed["attention_mask"]).sum(axis=1)
        return np.stack((sums + self.change, feed["attention_mask"].sum(axis=1)), axis=1)


def test_rows_come_back_in_their_order():
    np.testing.assert_array_equal(outputs_of(Counting(), TEXTS, batch_size=2), EXPECTED)


def test_outputs_are_kept_and_only_checked_the_second_time(tmp_path):
    outputs_of(Counting(), TEXTS, folder=tmp_path, batch_size=2)
    again = Counting()
    np.testing.assert_array_equal(outputs_of(again, TEXTS, folder=tmp_path, batch_size=2), EXPECTED)
    assert again.calls == 1
    assert [file.suffix for file in tmp_path.iterdir()] == [".npy"]


@pytest.mark.parametrize("torn", [0, 5])
def test_a_killed_run_goes_on(tmp_path, torn):
    with pytest.raises(KeyboardInterrupt):
        outputs_of(Counting(fail_at=2), TEXTS, folder=tmp_path, batch_size=2)
    part = next(tmp_path.glob("*.part"))
    part.write_bytes(part.read_bytes() + b"x" * torn)  # half a row
    again = Counting()
    np.testing.assert_array_equal(outputs_of(again, TEXTS, folder=tmp_path, batch_size=2), EXPECTED)
    assert again.calls == 2  # the first batch to see that it is the same teacher, and the last


def test_another_teacher_or_other_texts_do_not_mix(tmp_path):
    outputs_of(Counting(), TEXTS, folder=tmp_path)
    found = outputs_of(Counting(change=7), TEXTS, folder=tmp_path)
    np.testing.assert_array_equal(found[:, 0], EXPECTED[:, 0] + 7)
    assert len(outputs_of(Counting(), Texts([[1]]), folder=tmp_path)) == 1
    with pytest.raises(KeyboardInterrupt):
        outputs_of(Counting(fail_at=2), TEXTS, folder=tmp_path, about="b", batch_size=2)
    found = outputs_of(Counting(change=7), TEXTS, folder=tmp_path, about="b", batch_size=2)
    np.testing.assert_array_equal(found[:, 0], EXPECTED[:, 0] + 7)


def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ArtifactError, match=r"cannot be kept in .*No space left"):
        outputs_of(Counting(), TEXTS, folder=tmp_path)


def test_a_teacher_that_says_nan_is_refused():
    with pytest.raises(ConfigError, match="damaged"):
        outputs_of(Counting(change=np.nan), TEXTS)


def test_progress_is_told(tmp_path):
    told = []
    outputs_of(Counting(), TEXTS, folder=tmp_path, batch_size=2, progress=lambda *said: told.append(said[1:]))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_graphs_are_teachers(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(table_graph(np.eye(4, dtype=np.float32)))
    found = outputs_of(open_graph(file, threads=1), TEXTS)
    np.testing.assert_allclose(found[1], [0, 0, 0, 1])
    with pytest.raises(ArtifactError, match="no output 'logits' but sentence_embedding"):
        open_graph(file, output="logits")
    file.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"the teacher .* cannot be run"):
        open_graph(file)


def test_top_items():
    items, said = top_items(np.array([[0.1, 3.0, 2.0], [-np.inf, 1.0, -np.inf]], np.float32), 2)
    assert items.tolist() == [[1, 2], [1, -1]]
    np.testing.assert_allclose(said, [[3, 2], [1, 0]])
