import numpy as np
import scipy.sparse as sp

from twofold.models import sparse
from twofold.models.sparse import keep_largest


def test_the_largest_of_each_row_by_hand() -> None:
    matrix = np.array([[9.0, 3.0, 1.0, 2.0], [5.0, 9.0, 5.0, 5.0], [-1.0, 0.5, 9.0, 0.0], [0.0, 0.0, 0.0, 9.0]])
    kept = keep_largest(lambda rows: sp.csr_matrix(matrix[rows]), 4, 2).toarray()
    np.testing.assert_array_equal(kept, [[0, 3, 0, 2], [5, 0, 5, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]])


def test_blocks_make_no_difference(monkeypatch) -> None:
    matrix = np.random.default_rng(0).random((23, 23)) * (np.random.default_rng(1).random((23, 23)) > 0.4)
    whole = keep_largest(lambda rows: sp.csr_matrix(matrix[rows]), 23, 5).toarray()
    monkeypatch.setattr(sparse, "CELLS", 4 * 23)
    np.testing.assert_array_equal(keep_largest(lambda rows: sp.csr_matrix(matrix[rows]), 23, 5).toarray(), whole)


def test_no_items_no_matrix() -> None:
    assert keep_largest(lambda _: sp.csr_matrix((0, 0)), 0, 5).shape == (0, 0)
