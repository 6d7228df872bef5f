import numpy as np
import pytest

from twofold.compress.distil import (
    alignment,
    check_collapse,
    likeness,
    mean_cosine,
    neighbour_overlap,
    principal,
)
from twofold.core.errors import ConfigError

CIRCLE = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)


def test_mean_cosine_and_likeness_by_hand():
    assert mean_cosine(CIRCLE, 3 * CIRCLE) == pytest.approx(1)
    assert mean_cosine(CIRCLE[:2], CIRCLE[[1, 1]]) == pytest.approx(0.5)
    assert likeness(CIRCLE) == pytest.approx((0 + 0 - 1 - 1) * 2 / 12 - 0)  # cosines of pairs: 0, -1, 0, 0, -1, 0
    assert likeness(np.array([[1, 0], [2, 0], [0, 0]], np.float32)) == pytest.approx(1 / 3)


def test_overlap_by_hand():
    one = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    other = one[:, ::-1].copy()
    assert neighbour_overlap(one, other, 1) == 1.0
    swapped = one[[0, 2, 1, 3]]  # now row 0's nearest is row 2 and row 1's is row 3
    assert neighbour_overlap(one, swapped, 1) == 0.0
    assert neighbour_overlap(one, swapped, 2) == pytest.approx(5 / 8)  # {3}, {3}, {3} and {1, 2} are shared
    assert neighbour_overlap(one, swapped, 10) == 1.0  # all others


def test_a_collapsed_student_is_refused():
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(50, 8)).astype(np.float32)
    check_collapse(teacher + 0.3, teacher)
    with pytest.raises(ConfigError, match=r"collapsed.*mean cosine of 0\.9.*teacher's have -?0\.0"):
        check_collapse(teacher + 5, teacher)
    with pytest.raises(ConfigError, match="no numbers"):
        check_collapse(teacher * np.nan, teacher)


def test_a_student_of_a_narrow_teacher_may_be_as_narrow():
    rng = np.random.default_rng(0)
    teacher = (rng.normal(size=(50, 8)) + 4).astype(np.float32)
    assert likeness(teacher) > 0.8
    check_collapse(teacher + 0.5, teacher)


def test_principal_keeps_dot_products():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 6))  # of rank 2
    vectors = flat.astype(np.float32)
    basis = principal(vectors, 2)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-5)
    cut = vectors @ basis
    np.testing.assert_allclose(cut @ cut.T, vectors @ vectors.T, atol=1e-4)
    assert np.square(cut[:, 0]).sum() > np.square(cut[:, 1]).sum()
    with pytest.raises(ConfigError, match="6 numbers cannot become 7"):
        principal(vectors, 7)


def test_alignment_finds_a_rotation_and_leaves_alone_what_no_row_tells():
    angle = 0.3
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    np.testing.assert_allclose(alignment(CIRCLE, CIRCLE @ turn, penalty=1e-6), turn, atol=1e-5)
    np.testing.assert_allclose(alignment(CIRCLE, CIRCLE @ turn, penalty=1e9), np.eye(2), atol=1e-5)
    flat = np.array([[1, 0], [2, 0]], np.float32)
    np.testing.assert_allclose(alignment(flat, 3 * flat, penalty=1e-6), np.diag([3, 1]), atol=1e-5)
