import numpy as np

from twofold.core import Histories
from twofold.models.recommender import like_matrix


def test_a_matrix_of_likes_leaves_the_histories_as_they_are() -> None:
    histories = Histories.from_lists([[4, 1, 4], [2, 0]])
    matrix = like_matrix(histories, 5, np.array([1, 2, 4, 1, 1], np.float32))
    np.testing.assert_array_equal(matrix.toarray(), [[0, 2, 0, 0, 5], [1, 0, 1, 0, 0]])
    assert histories.items.tolist() == [4, 1, 4, 2, 0]
    assert like_matrix(histories, 5).toarray().max() == 1
