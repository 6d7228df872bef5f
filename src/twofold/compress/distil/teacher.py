"""What a teacher says of examples: computed once, kept in a file, gone on with after a kill. Free of torch."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from twofold.compress.distil.examples import Examples, Feed
from twofold.core.errors import ArtifactError, ConfigError
from twofold.core.scores import Floats
from twofold.core.session import open_session
from twofold.core.stage import Progress

__all__ = ["Network", "open_graph", "outputs_of", "top_items"]

Network = Callable[[Feed], Floats]
"""Turns a feed of b rows into float32 [b, d] or [b]; an onnxruntime session, a torch module in a wrapper, …"""
AT_ONCE = 32


def open_graph(file: Path, *, output: str = "sentence_embedding", threads: int = 0) -> Network:
    """Return an ONNX file as a network of one output.

    Args:
        file: such as `onnx/model.onnx` in the folder of a text encoder.
        output: which of its outputs.
        threads: for one batch; 0 takes as many as this process may use.

    Raises:
        ArtifactError: it is no graph that can be run, or has no such output.
    """
    session = open_session(file, f"the teacher {file}", threads=threads)
    if output not in (names := [value.name for value in session.get_outputs()]):
        raise ArtifactError(f"{file} has no output {output!r} but {', '.join(names)}; name one of these.")
    wanted = {value.name for value in session.get_inputs()}

    def run(feed: Feed) -> Floats:
        found: Floats = session.run([output], {name: array for name, array in feed.items() if name in wanted})[0]
        return found

    return run


def outputs_of(
    network: Network,
    examples: Examples,
    *,
    folder: Path | None = None,
    about: str = "",
    batch_size: int = AT_ONCE,
    progress: Progress | None = None,
) -> Floats:
    """Return a teacher's outputs for all examples, float32 [n, ...], rows of like length in one batch.

    With a folder, they are kept there as `teacher-HASH.npy`, by the hash of the examples and of `about`, and read
    back, memory-mapped, where they are asked for again. Until all are there, finished batches stand in a `.part`
    file beside it, from which a killed run goes on.

    Args:
        network: the teacher.
        examples: what it is asked about.
        folder: where the outputs are kept; None keeps none.
        about: what the teacher is, such as the hash of its file.
        batch_size: rows at once.
        progress: told how many rows are done.

    Raises:
        ArtifactError: the folder cannot be written.
        ConfigError: the teacher gives what is no number.
    """
    order = np.argsort(-examples.lengths, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    first = _asked(network, examples, batches[0])
    if folder is None:
        parts = [first, *(_asked(network, examples, batch) for batch in batches[1:])]
        return _unsorted(np.concatenate(parts), order)
    key = sha256(f"{examples.fingerprint()} {about} {batch_size}".encode()).hexdigest()[:16]
    file = folder / f"teacher-{key}.npy"
    if file.exists():
        kept: Floats = np.load(file, mmap_mode="r", allow_pickle=False)
        if np.allclose(kept[batches[0]], first, atol=1e-3):
            return kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with part.open("ab") as stream:
            done = _kept(part, first)
            stream.truncate(sum(len(batch) for batch in batches[:done]) * first[0].nbytes)
            for place in range(done, len(batches)):
                stream.write((_asked(network, examples, batches[place]) if place else first).tobytes())
                stream.flush()
                if progress is not None:
                    progress("ask the teacher", min((place + 1) * batch_size, len(order)), len(order))
        found = _unsorted(np.fromfile(part, np.float32).reshape(len(order), *first.shape[1:]), order)
        fresh = file.with_suffix(".fresh")
        with fresh.open("wb") as stream:
            np.save(stream, found, allow_pickle=False)
        fresh.replace(file)
        part.unlink()
    except OSError as error:
        raise ArtifactError(
            f"the teacher's outputs cannot be kept in {folder} ({error.strerror}); make room there, or give another "
            "folder."
        ) from error
    return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def top_items(said: Floats, k: int) -> tuple[np.ndarray, Floats]:
    """Return what `losses.soft_items` needs of a teacher's scores: its k best items and their scores, [n, k].

    Args:
        said: scores of all items, [n, m]; -inf for one that cannot be.
        k: how many are kept, at most m.

    Returns:
        Items, int64, -1 where a row has no more, and scores, float32, the best first.
    """
    items = np.argsort(-said, axis=1, kind="stable")[:, :k].astype(np.int64)
    scores = np.take_along_axis(said, items, axis=1).astype(np.float32)
    none = np.isneginf(scores)
    return np.where(none, -1, items), np.where(none, np.float32(0), scores)


def _kept(part: Path, first: Floats) -> int:
    """Return how many batches a file holds; none where its first one is another teacher's."""
    rows = part.stat().st_size // first[0].nbytes
    if rows < len(first):
        return 0
    begins = np.fromfile(part, np.float32, first.size).reshape(first.shape)
    return int(rows // len(first)) if np.allclose(begins, first, atol=1e-3) else 0


def _asked(network: Network, examples: Examples, rows: np.ndarray) -> Floats:
    found = np.ascontiguousarray(network(examples.feed(rows)), np.float32)
    if not np.isfinite(found).all():
        raise ConfigError("the teacher gives what is no number; its weights are damaged, get others.")
    return found


def _unsorted(found: Floats, order: np.ndarray) -> Floats:
    whole = np.empty_like(found)
    whole[order] = found
    return whole
