from pathlib import Path

import numpy as np
import pytest

from twofold.core.errors import ArtifactError
from twofold.ranking.pairs import PairScorer, PairTokens


def test_pairs_are_padded_and_their_sides_told(spelled: str) -> None:
    ids, mask, sides = PairTokens(spelled, 16)(["red", "red rose"], ["blue whale", ""])
    assert ids.tolist() == [[2, 4, 3, 6, 7, 3], [2, 4, 5, 3, 3, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]
    assert sides.tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0]]


def test_the_longer_text_is_cut_first(spelled: str) -> None:
    ids, _, sides = PairTokens(spelled, 8)(["red rose"], ["blue whale green frog flower"])
    assert ids.tolist() == [[2, 4, 5, 3, 6, 7, 8, 3]]
    assert sides[0].sum() == 4


def test_a_very_long_text_and_half_a_character_do_no_harm(spelled: str) -> None:
    ids, _, _ = PairTokens(spelled, 8)(["red \ud800"], ["rose " * 100_000])
    assert ids.tolist() == [[2, 4, 3, 5, 5, 5, 5, 3]]


def test_no_graph_is_refused(spelled: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "tokenizer.json").write_text(spelled, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"a cross-encoder cannot be run by onnxruntime \(.*; make it again"):
        PairScorer.load(tmp_path, max_tokens=8, threads=1, batch_size=2)


def test_the_graph_says_what_torch_says_in_any_batch(model_folder: Path, spelled: str) -> None:
    torch = pytest.importorskip("torch")
    from twofold.ranking.pair_model import PairModel, export, load_encoder

    model = PairModel(load_encoder(model_folder)).eval()
    with torch.no_grad():
        model.weights += torch.linspace(-3, 3, 32)
        model.bias += 0.5
    tokens = PairTokens(spelled, 16)
    left = ["red", "a red rose", "", "b a b a b a b a b"]
    right = ["blue whale", "flower", "a frog", ""]
    with torch.no_grad():
        alone = [
            model(*map(torch.from_numpy, tokens([one], [other]))).item() for one, other in zip(left, right, strict=True)
        ]
    for batch_size in (1, 3):
        scorer = PairScorer(export(model), tokens, threads=1, batch_size=batch_size)
        np.testing.assert_allclose(scorer(left, right), alone, atol=1e-4)
    assert np.ptp(alone) > 0.1
    assert scorer([], []).shape == (0,)


def test_the_head_starts_as_a_cosine(model_folder: Path, spelled: str) -> None:
    torch = pytest.importorskip("torch")
    from twofold.ranking.pair_model import PairModel, load_encoder

    model = PairModel(load_encoder(model_folder), scale=2.0).eval()
    ids, mask, sides = map(torch.from_numpy, PairTokens(spelled, 16)(["red rose"], ["blue"]))
    with torch.no_grad():
        states = model.encoder(input_ids=ids, token_type_ids=sides).last_hidden_state[0]
        cosine = torch.nn.functional.cosine_similarity(states[:4].mean(0), states[4:].mean(0), dim=0)
        assert model(ids, mask, sides).item() == pytest.approx(2 * cosine.item(), abs=1e-5)
