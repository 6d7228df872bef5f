"""EASE: a full-rank linear item-item model with a closed form, in primal and in dual form."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.linalg as la
import scipy.sparse as sp

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.models.recommender import ItemRecommender, counted, entries, like_matrix, recency_weights

__all__ = ["EASE", "EASEConfig"]

SMOOTH_BYTES = 64_000_000
"""What a dual form keeps, at most, for reasons to be found in a tenth of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EASEConfig:
    """Options of EASE."""

    reg: float = 300.0
    """L2 penalty, lambda in the paper; in likes."""
    recency: float = 1.0
    """Weight of each older like against the next newer one, in (0, 1]. 1 is the paper's model."""
    form: Literal["auto", "primal", "dual"] = "auto"
    """`primal` inverts items x items, `dual` users x users; `auto` takes the smaller. The result is the same."""
    memory_gb: float = 4.0
    """Refuse to build a dense matrix that needs more; `sparse-ease` is the model for such catalogues."""

    def __post_init__(self) -> None:
        if self.reg <= 0 or not 0 < self.recency <= 1 or self.memory_gb <= 0:
            raise ValueError("ease wants reg and memory_gb above 0 and recency above 0 and at most 1.")


class EASE(ItemRecommender):
    """Embarrassingly shallow autoencoder: `B = argmin |X - X B|^2 + reg |B|^2` with `diag(B) = 0`.

    With `P = (X'X + reg I)^-1` the solution is `B_ij = -P_ij / P_jj`. Where users are fewer than
    items, Woodbury's identity gives `P = (I - X' K X) / reg` with `K = (X X' + reg I)^-1`, so only a
    users x users matrix is inverted, and a history is scored by three thin products without the
    items x items matrix. Source: Steck, WWW 2019 (arXiv 1905.03375).

    Only items that somebody liked enter the matrices; the others score 0.
    """

    Config = EASEConfig
    config: EASEConfig
    state: ClassVar[tuple[str, ...]] = ("liked", "weights", "kernel", "scale", "data", "indices", "indptr")

    liked: npt.NDArray[np.int32]
    """Codes of the m items that somebody liked."""
    weights: Floats | None
    """Primal form: B, float32 [m, m]."""
    kernel: Floats | None
    """Dual form: K, float32 [u, u]."""
    scale: Floats | None
    """Dual form: `1 / (reg P_jj)`, float32 [m]."""
    data: Floats | None
    indices: npt.NDArray[np.int32] | None
    indptr: npt.NDArray[np.int32] | None
    """Dual form: X' as compressed rows [m, u]: who liked each item."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Solve for B on the likes of the log.

        Raises:
            ConfigError: the dense matrix would not fit `memory_gb`.
        """
        self.items = len(dataset.items)
        self.liked = np.flatnonzero(dataset.item_counts).astype(np.int32)
        likes = like_matrix(dataset.log.likes(), self.items)[:, self.liked]
        likes = likes[np.diff(likes.indptr) > 0]
        users, items = likes.shape
        dual = self.config.form == "dual" or (self.config.form == "auto" and users < items)
        size = users if dual else items
        if 2 * 8 * size**2 > self.config.memory_gb * 1e9:
            raise ConfigError(
                f"ease needs {2 * 8 * size**2 / 1e9:.1f} GB for {size:,} {'users' if dual else 'items'}, more than "
                f"memory_gb = {self.config.memory_gb}; use kind = 'sparse-ease' or allow more memory."
            )
        self.weights = self.kernel = self.scale = self.data = self.indices = self.indptr = None
        if dual:
            self._fit_dual(likes.astype(np.float64))
        else:
            self._fit_primal(likes)
        self._prepare()
        return self

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; arrays are memory-mapped."""
        super().restore(folder, dataset)
        self._prepare()

    def _prepare(self) -> None:
        """Make what every answer needs and nothing changes."""
        self._place = np.full(self.items, -1)
        self._place[self.liked] = np.arange(len(self.liked))
        if self.kernel is not None and self.scale is not None:
            self._kernel = np.asarray(self.kernel)
            indptr = np.zeros(self.items + 1, np.int64)
            indptr[self.liked + 1] = np.diff(np.asarray(self.indptr))
            shape = (self.items, len(self.kernel))
            self._fans = sp.csr_matrix((self.data, self.indices, indptr.cumsum()), shape=shape, copy=False)
            self._scale = np.zeros(self.items, np.float32)
            self._scale[self.liked] = self.scale
            self._scaled = sp.csr_matrix(sp.diags_array(self._scale) @ self._fans)
            small = 4 * shape[0] * shape[1] <= SMOOTH_BYTES
            self._smooth = np.asarray(self._fans @ self.kernel) if small else None

    def _fit_primal(self, likes: sp.csr_matrix) -> None:
        inverse = _inverse((likes.T @ likes).toarray(), self.config.reg)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self.weights = weights.astype(np.float32)

    def _fit_dual(self, likes: sp.csr_matrix) -> None:
        kernel = _inverse((likes @ likes.T).toarray(), self.config.reg)
        explained = np.asarray(likes.multiply(kernel @ likes).sum(axis=0)).ravel()
        self.kernel = kernel.astype(np.float32)
        self.scale = (1 / (1 - explained)).astype(np.float32)
        fans = likes.T.tocsr().astype(np.float32)
        self.data, self.indices, self.indptr = fans.data, fans.indices, fans.indptr

    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n]."""
        histories = histories.last(counted(self.config.recency))
        liked = self._place[histories.items] >= 0
        rows, items = histories.rows[liked], histories.items[liked]
        history = np.zeros((len(histories), self.items), np.float32)
        if self.config.recency < 1:
            np.add.at(history, (rows, items), recency_weights(histories, self.config.recency)[liked])
        else:
            history[rows, items] = 1
        if self.weights is not None:
            scores = np.zeros_like(history)
            scores[:, self.liked] = _product(history[:, self.liked], self.weights)
            return scores
        if self._smooth is not None:
            tastes = _product(history, self._smooth).T
        else:  # scipy multiplies the likes of all items; those of one history's are few
            alike = self._alike(items, history[0]) if len(histories) == 1 else np.asarray(self._fans.T @ history.T)
            tastes = self._kernel @ alike
        scores = np.ascontiguousarray((self._scaled @ tastes).T)
        scores[rows, items] += history[rows, items] * (1 - self._scale[items])
        return scores

    def _alike(self, items: Codes, history: Floats) -> Floats:
        """Return the sum of the weights of one history's items that each user liked, float32 [u, 1]."""
        kept = np.unique(items)
        found, lengths = entries(self._fans, kept)
        likers = np.bincount(self._fans.indices[found], np.repeat(history[kept], lengths), len(self._kernel))
        return likers.astype(np.float32)[:, None]

    def block(self, rows: Codes, columns: Codes) -> Floats:
        """See `ItemRecommender.block`; 0 where either item was never liked."""
        if self.weights is not None:
            up, across = self._place[rows], self._place[columns]
            return np.where((up[:, None] >= 0) & (across >= 0), self.weights[np.ix_(up, across)], np.float32(0))
        part: Floats = _sums(self._fans, rows, self._tastes(columns)) * self._scale[columns]
        part[rows[:, None] == columns] = 0
        return part

    def _tastes(self, items: Codes) -> Floats:
        """Return `K x_j` for columns x_j of X in dual form, float32 [u, items]; kept for all where that is small."""
        if self._smooth is None:
            return np.asarray(self._kernel @ self._fans[items].T.toarray())
        return np.ascontiguousarray(self._smooth[items].T)

    def times(self, matrix: Floats) -> Floats:
        """Return B times a matrix, float32 [n, p], without making B in dual form; what nobody liked gets 0."""
        product = np.zeros((self.items, matrix.shape[1]), np.float32)
        if self.weights is not None:
            product[self.liked] = self.weights @ matrix[self.liked]
        else:
            scaled = matrix * self._scale[:, None]
            whole = matrix - scaled + self._fans @ (self._kernel @ (self._fans.T @ scaled))
            product[self.liked] = whole[self.liked]
        return product


def _product(histories: Floats, matrix: Floats) -> Floats:
    """Return `histories @ matrix`; reads the rows that count alone, where that is less than the whole matrix."""
    if 2 * np.count_nonzero(histories) > len(matrix):
        return np.asarray(histories @ matrix)
    found = np.empty((len(histories), matrix.shape[1]), np.float32)
    for row, history in enumerate(histories):
        kept = np.flatnonzero(history != 0)  # of numbers themselves it takes five times as long
        found[row] = history[kept] @ matrix[kept]
    return found


def _sums(matrix: sp.csr_matrix, rows: Codes, dense: Floats) -> Floats:
    """Return `matrix[rows] @ dense` of a matrix of ones, for few rows; cutting a sparse matrix takes longer."""
    found, lengths = entries(matrix, rows)
    sums = np.zeros((len(rows), dense.shape[1]), np.float32)
    full = lengths > 0
    if full.any():
        starts = (lengths.cumsum() - lengths)[full]
        sums[full] = np.add.reduceat(dense.take(matrix.indices[found], axis=0), starts, axis=0)
    return sums


def _inverse(gram: npt.NDArray[np.floating], reg: float) -> npt.NDArray[np.floating]:
    """Invert `gram + reg I` by Cholesky's factorisation, in place of a general inverse: half the work."""
    gram = np.asarray(gram, np.float64, order="F")
    gram[np.diag_indices_from(gram)] += reg
    if not len(gram):
        return gram
    factor, _ = la.lapack.dpotrf(gram, lower=False, overwrite_a=True)
    inverse, _ = la.lapack.dpotri(factor, lower=False, overwrite_c=True)
    whole: npt.NDArray[np.float64] = np.triu(inverse) + np.triu(inverse, 1).T
    return whole
