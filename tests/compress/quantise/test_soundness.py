"""`twofold.compress.quantise.soundness`: what must not pass, and how likeness is told."""

import numpy as np
import onnx
import pytest
from tests.compress.quantise.conftest import make_feeds, product

from twofold.compress.quantise.soundness import agreement, check_interface, likeness, load_graph, steadiness
from twofold.core.errors import ConfigError


def test_an_axis_that_was_free_must_stay_free():
    check_interface(product(np.eye(3)), load_graph(product(np.eye(3), axes=("rows",))))
    with pytest.raises(ConfigError, match="axis 0 of the input 'x' was free and is fixed to 5"):
        check_interface(product(np.eye(3)), load_graph(product(np.eye(3), axes=(5,))))


def test_an_output_must_not_be_lost():
    child = load_graph(product(np.eye(3)))
    child.graph.output[0].name = "z"
    with pytest.raises(ConfigError, match="output 'y' was lost"):
        check_interface(product(np.eye(3)), child)


def test_the_length_of_vectors_may_become_known():
    parent = onnx.load_model_from_string(product(np.eye(3)))
    parent.graph.output[0].type.tensor_type.shape.dim[1].Clear()
    check_interface(parent, load_graph(product(np.eye(3))))


def test_what_is_no_graph_is_refused():
    with pytest.raises(ConfigError, match="no ONNX file"):
        load_graph(b"\xff\xfenot a graph")


def test_likeness_is_the_cosine_of_rows_and_the_distance_of_single_numbers():
    olds = np.array([[1, 0], [0, 2], [0, 0]], np.float32)
    news = np.array([[3, 0], [2, 2], [0, 0]], np.float32)
    np.testing.assert_allclose(likeness(olds, news), [1, np.sqrt(0.5), 1], rtol=1e-6)
    scores = np.array([[1.0], [3.0]], np.float32)  # standard deviation 1
    np.testing.assert_allclose(likeness(scores, scores + np.array([[0.0], [0.25]], np.float32)), [1, 0.75])


def test_agreement_needs_texts_and_sound_answers():
    parent = product(np.eye(3))
    feed = {"x": np.eye(3, dtype=np.float32)}
    assert agreement(parent, product(2 * np.eye(3)), [feed]).worst == pytest.approx(1)
    assert agreement(parent, product(-np.eye(3)), [feed]).mean == pytest.approx(-1)
    with pytest.raises(ConfigError, match="no texts"):
        agreement(parent, parent, [])


def test_a_graph_of_full_precision_is_steady(fused):
    assert steadiness(fused.content, make_feeds(1, size=33)[0]) == pytest.approx(1, abs=1e-5)
