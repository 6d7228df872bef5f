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
from twofold.core.query import Batch, Evidence
from twofold.core.scores import Floats
from twofold.models.recommender import Recommender, like_matrix, liked_recency, recency_weights

__all__ = ["EASE", "EASEConfig"]


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


class EASE(Recommender):
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
        if self.kernel is not None:
            shape = (len(self.liked), len(self.kernel))
            self._fans = sp.csr_matrix((self.data, self.indices, self.indptr), shape=shape, copy=False)
            self._likes = self._fans.T

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
        rows, places = histories.rows, self._place[histories.items]
        rows, places, known = rows[places >= 0], places[places >= 0], places >= 0
        history = np.zeros((len(histories), len(self.liked)), np.float32)
        if self.config.recency < 1:
            np.add.at(history, (rows, places), recency_weights(histories, self.config.recency)[known])
        else:
            history[rows, places] = 1
        scores = np.zeros((len(histories), self.items), np.float32)
        if self.weights is not None:
            scores[:, self.liked] = history @ self.weights
        else:
            smooth = np.asarray(self._fans @ (self.kernel @ (self._likes @ history.T))).T
            scores[:, self.liked] = history - (history - smooth) * self.scale
        return scores

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats:
        """Return what each event adds to the scores of items, float32 [events, items]; a dislike adds 0."""
        events = batch.events(evidence)
        return self.block(events.items, items) * liked_recency(events, self.config.recency)[:, None]

    def block(self, rows: Codes, columns: Codes) -> Floats:
        """Return B[rows, columns], 0 where either item was never liked."""
        up, across = (np.where(codes < self.items, self._place[codes % self.items], -1) for codes in (rows, columns))
        if self.weights is not None:
            part = self.weights[np.ix_(up, across)]
        else:
            assert self.scale is not None
            part = self._fans[up] @ (self.kernel @ self._fans[across].T.toarray()) * self.scale[across]
            part[rows[:, None] == columns] = 0
        return np.where((up[:, None] < 0) | (across < 0), np.float32(0), part)

    def times(self, matrix: Floats) -> Floats:
        """Return B times a matrix, float32 [n, p], without making B in dual form; what nobody liked gets 0."""
        product = np.zeros((self.items, matrix.shape[1]), np.float32)
        rows = matrix[self.liked]
        if self.weights is not None:
            product[self.liked] = self.weights @ rows
        elif self.kernel is not None and self.scale is not None:
            scaled = rows * self.scale[:, None]
            product[self.liked] = rows - scaled + self._fans @ (self.kernel @ (self._likes @ scaled))
        return product


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
