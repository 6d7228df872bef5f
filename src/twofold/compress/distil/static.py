"""The static student: a table of token vectors, a text is their weighted mean. Legend: v tokens. Needs torch."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional

from twofold.compress.distil.agreement import principal
from twofold.compress.distil.examples import Reader, Texts
from twofold.compress.distil.options import Static
from twofold.compress.distil.teacher import Network, outputs_of
from twofold.core.errors import ConfigError, DataError
from twofold.core.scores import Floats
from twofold.core.stage import Progress

__all__ = ["StaticStudent", "fit_table", "static_student", "token_weights"]

TINY = 1e-6


class StaticStudent(nn.Module):
    """`normalise(sum_t weight_t row_t)` over the tokens of a text that are known; zeros where there is none.

    Args:
        table: token vectors, [v, d].
        weights: of the tokens, [v].
        unknown: ids of tokens that never count: those of start, end, padding and the unknown word.
        basis: brings the teacher's vectors [e] to the student's d numbers, [e, d]; None where they are the same.
    """

    def __init__(self, table: Floats, weights: Floats, unknown: np.ndarray, basis: Floats | None = None) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(np.ascontiguousarray(table, np.float32)))
        self.weights = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weights, np.float32)))
        known = torch.ones(len(table))
        known[torch.from_numpy(unknown)] = 0
        self.known = nn.Buffer(known, persistent=False)
        self.basis = basis

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the texts' vectors [b, d], of length 1 or 0."""
        shares = (self.weights * self.known)[input_ids] * attention_mask
        total = functional.embedding_bag(input_ids, self.table, per_sample_weights=shares, mode="sum")
        return functional.normalize(total, dim=1)

    def spread(self) -> Floats:
        """Return `folded` among the teacher's numbers, float32 [v, e]; texts that the teacher encoded are found by it.

        Dot products within it are those of `folded`, since the basis is orthonormal.
        """
        return self.folded() if self.basis is None else self.folded() @ self.basis.T

    def folded(self) -> Floats:
        """Return the token vectors times their weights, float32 [v, d]: all that serving needs."""
        with torch.no_grad():
            found: Floats = (self.table * (self.weights * self.known)[:, None]).cpu().numpy()
        return found


def static_student(
    teacher: Network,
    reader: Reader,
    texts: Texts,
    vectors: Floats,
    options: Static,
    *,
    folder: Path | None = None,
    about: str = "",
    progress: Progress | None = None,
) -> StaticStudent:
    """Make a static student out of a teacher: each token goes through it by itself, as a text of one word.

    The tokens' vectors, less their mean, are brought to `dimensions` numbers in the basis of the texts' vectors, so
    that the student's leading numbers are the most telling ones; a token's weight falls with how often it occurs in
    the texts. Such a student is a start: `fit_table` makes it good. Sources: the
    library model2vec (Tulkens & van Dongen, 2024); Arora, Liang & Ma, ICLR 2017 (SIF).

    Args:
        teacher: takes `input_ids` and `attention_mask`.
        reader: its tokenizer.
        texts: of the catalogue.
        vectors: the teacher's of these texts, [n, e].
        options: how.
        folder: where the teacher's vectors of tokens are kept, see `outputs_of`.
        about: what the teacher is.
        progress: told how many tokens are done.

    Raises:
        ArtifactError: the folder cannot be written.
        ConfigError: `dimensions` is more than the teacher has, or it gives what is no number.
        DataError: texts and vectors differ in number.
    """
    if len(vectors) != len(texts.lengths):
        raise DataError(f"the teacher said {len(vectors)} things of {len(texts.lengths)} texts; ask it anew.")
    if options.dimensions > vectors.shape[1]:
        raise ConfigError(
            f"the teacher's vectors have {vectors.shape[1]} numbers, fewer than dimensions = {options.dimensions}; "
            "lower that."
        )
    size, (before, behind) = reader.size, reader.around
    words = Texts([[*before, token, *behind] for token in range(size)], reader.pad)
    key = sha256(f"{about} tokens".encode()).hexdigest()
    alone = outputs_of(teacher, words, folder=folder, about=key, batch_size=256, progress=progress)
    counts = texts.counts(size)
    known = np.setdiff1d(np.arange(size), reader.specials)
    table = alone - alone[known].mean(axis=0)
    basis = principal(vectors, options.dimensions) if options.dimensions else None
    if basis is not None:
        table = table @ basis
    counts[reader.specials] = 0
    return StaticStudent(table, token_weights(counts, options), reader.specials, basis)


def fit_table(student: StaticStudent, texts: Texts, vectors: Floats, options: Static) -> None:
    """Set a student's token vectors to those whose weighted means come nearest to the teacher's vectors.

    Without the normalisation this is a ridge regression, `argmin_T |A T - V B|^2 + penalty |T - T0|^2`, where a row of
    A [n, v] has the weights of a text's tokens, B is the student's basis, and T0 is the table as it was: a token that
    no text has stays where the teacher put it. It is solved by conjugate gradients. Each round divides the rows of A
    by the length that the last table gave them, so that what is fitted is the normalised sum. Source of the method:
    Hestenes & Stiefel, 1952.

    Args:
        student: its table is changed, its weights are not.
        texts: of the catalogue.
        vectors: the teacher's of these texts, [n, e].
        options: penalty, rounds and steps.
    """
    table = student.table.detach().numpy()
    shares = (student.weights.detach() * student.known).numpy()
    rows, columns = np.repeat(np.arange(len(texts.lengths)), texts.lengths), np.concatenate(texts.tokens)
    counted = shares[columns] > 0
    rows, columns = rows[counted], columns[counted]
    plain = sp.csr_matrix((shares[columns], (rows, columns)), shape=(len(texts.lengths), len(table)), dtype=np.float32)
    target = vectors if student.basis is None else vectors @ student.basis
    for _ in range(options.rounds):
        lengths = np.maximum(np.linalg.norm(plain @ table, axis=1), TINY)
        table = _nearer(sp.diags_array(np.float32(1) / lengths) @ plain, table, target, options)
    with torch.no_grad():
        student.table.copy_(torch.from_numpy(table))


def _nearer(matrix: sp.csr_matrix, table: Floats, target: Floats, options: Static) -> Floats:
    """Return the table after some steps of conjugate gradients from the one that is given, all columns at once."""
    across = matrix.T.tocsr()
    rest = across @ (target - matrix @ table)
    table, direction, size = table.copy(), rest, np.square(rest).sum(axis=0)
    for _ in range(options.steps):
        image = across @ (matrix @ direction) + np.float32(options.penalty) * direction
        stride = size / np.maximum((direction * image).sum(axis=0), TINY)
        table += stride * direction
        rest = rest - stride * image
        before, size = size, np.square(rest).sum(axis=0)
        direction = rest + size / np.maximum(before, TINY) * direction
    return table


def token_weights(counts: np.ndarray, options: Static) -> Floats:
    """Return the weights of tokens, float32 [v], the largest 1, from how often each occurs.

    >>> token_weights(np.array([0, 1, 3]), Static(rare=0.25)).tolist()
    [1.0, 0.5, 0.25]
    >>> token_weights(np.array([0, 1, 3]), Static(weighting="none")).tolist()
    [1.0, 1.0, 1.0]
    """
    if options.weighting == "none":
        return np.ones(len(counts), np.float32)
    if options.weighting == "zipf":
        ranks = np.log1p(np.arange(1, len(counts) + 1))
        weights = ranks / ranks.max()
    else:
        weights = options.rare / (options.rare + counts / max(counts.sum(), 1))
    found: Floats = weights.astype(np.float32)
    return found
