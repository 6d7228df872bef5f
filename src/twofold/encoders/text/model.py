"""Load a text encoder for training, save it, and export it for serving. Needs torch and sentence-transformers."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from twofold.core.errors import ConfigError
from twofold.encoders.text.runtime import GRAPH
from twofold.train.silence import silent

__all__ = ["PoolingMode", "export", "load_model", "save_model", "write_modules"]

PoolingMode = Literal["", "mean", "cls", "last"]
TABLE_USED = 0.9
"""Share of an embedding table that its own tokenizer uses at least; tables are padded, but not more than this."""
ENDLESS = 100_000
"""A greatest number of tokens beyond this says that the tokenizer knows none."""


def load_model(
    folder: Path, *, pooling: PoolingMode = "", max_tokens: int = 0, allow_pickle: bool = False
) -> SentenceTransformer:
    """Load a checkpoint of the BERT, GPT or T5 family as sentence-transformers modules, with a vector of length 1.

    Of a T5, the encoder is taken. Padding is put on the right whatever the folder says: masked and behind the text,
    it changes neither a decoder's states nor the positions of its tokens, while on the left it would shift the
    positions of a GPT-2. A tokenizer without a padding token pads with another one, since it is masked anyway.
    A chat template is left out. The model is on a GPU where there is one.

    Args:
        folder: a Hugging Face or sentence-transformers folder; nothing is fetched.
        pooling: how token vectors become one; "" as the folder says, and the mean where it says nothing.
        max_tokens: where texts are cut; 0 as the folder says.
        allow_pickle: whether weights may be pickled.

    Raises:
        ConfigError: the folder cannot be read, its tokenizer is another model's, or `max_tokens` is too large.
    """
    kwargs = {} if allow_pickle else {"use_safetensors": True}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with silent():
        try:
            model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"dtype": torch.float32, **kwargs}
            )
        except Exception as error:  # damaged folders make the libraries raise nearly anything
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(f"{folder} cannot be read as a text encoder ({reason}); check the folder.") from error
    if not isinstance(model[0], Transformer):
        raise ConfigError(
            f"{folder} does not begin with a transformer but with {type(model[0]).__name__}; use another."
        )
    _check_tokenizer(model, folder)
    _read_plainly(model[0])
    _set_pooling(model, pooling)
    _set_lengths(model, max_tokens)
    return model.eval()


def _check_tokenizer(model: SentenceTransformer, folder: Path) -> None:
    tokenizer, table = model.tokenizer, _transformer(model).get_input_embeddings()
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(f"the tokenizer in {folder} has no fast form (tokenizer.json); use another model.")
    words, rows = len(tokenizer), int(table.num_embeddings)
    if words > rows or words < TABLE_USED * rows:
        raise ConfigError(
            f"the tokenizer in {folder} has {words} tokens and the model's table {rows} rows, so that it is "
            "another model's; put the model's own there."
        )


def _read_plainly(module: Transformer) -> None:
    """Have texts read as they are: with a chat template, sentence-transformers would wrap each in a conversation."""
    assert module.tokenizer is not None
    module.tokenizer.chat_template = None
    module.modality_config = {"text": module.modality_config["text"]}
    module.input_formatter.supported_modalities = ["text"]


def _set_pooling(model: SentenceTransformer, pooling: PoolingMode) -> None:
    places = [place for place, module in enumerate(model) if isinstance(module, Pooling)]
    if pooling and places:
        mode = {"mean": "mean", "cls": "cls", "last": "lasttoken"}[pooling]
        model[places[0]] = Pooling(model[places[0]].embedding_dimension, pooling_mode=mode)
    if not isinstance(model[-1], Normalize):
        model.append(Normalize())


def _set_lengths(model: SentenceTransformer, max_tokens: int) -> None:
    """Say where texts are cut and how they are padded, in the tokenizer itself, so that it is saved with it."""
    tokenizer, config = model.tokenizer, _transformer(model).config
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or ENDLESS
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        longest -= config.pad_token_id + 1  # their positions begin behind the padding token's
    if max_tokens > longest:
        raise ConfigError(f"max_tokens = {max_tokens} is more than the {longest} that the model takes; lower it.")
    told = model.max_seq_length or ENDLESS
    model.max_seq_length = max_tokens or (min(told, longest) if min(told, longest) < ENDLESS else 512)
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(model.max_seq_length)
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)


def write_modules(folder: Path, width: int) -> None:
    """Write what makes a plain folder a sentence-transformers one: mean pooling of vectors `width` long."""
    pooling = Pooling(width, pooling_mode="mean")
    kinds = (Transformer, Pooling, Normalize)
    paths = ("", "1_Pooling", "2_Normalize")
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"{kind.__module__}.{kind.__name__}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    for path, module in (("1_Pooling", pooling), ("2_Normalize", Normalize())):
        (folder / path).mkdir()
        module.save(str(folder / path))
    (folder / "modules.json").write_text(json.dumps(listed, indent=2), encoding="utf-8")


def save_model(model: SentenceTransformer, folder: Path) -> None:
    """Write a model as a folder that plain sentence-transformers loads, with its ONNX graph in `onnx/`."""
    _set_lengths(model, model.max_seq_length or 0)
    with silent():
        model.save(str(folder), create_model_card=False)
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    export(model, folder / GRAPH)


def _transformer(model: SentenceTransformer) -> Any:
    """Return the model of the transformers library, whose type differs by family."""
    return model[0].auto_model


class _Graph(torch.nn.Module):
    """What is exported: token ids to token vectors and to the text's vector."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model, self.width = model, int(model.get_embedding_dimension() or 0)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        # The shape is said again, so that the graph tells how long its vectors are.
        return features["token_embeddings"], features["sentence_embedding"].reshape(-1, self.width)


def export(model: SentenceTransformer, file: Path) -> None:
    """Write a model as an ONNX graph with its pooling and what follows inside.

    Inputs `input_ids` and `attention_mask` [b, l], int64; outputs `last_hidden_state` [b, l, h] and
    `sentence_embedding` [b, d]. The attention is written out ("eager"), and by torch's tracing exporter: of its
    graphs, `onnxruntime.transformers` makes fused attention, of the newer exporter's it does not; and it takes
    one second where that takes twelve.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    transformer = _transformer(model)
    before, training = transformer.config._attn_implementation, model.training
    device = next(model.parameters()).device
    ids = torch.arange(1, 13).reshape(2, 6)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", "last_hidden_state")}
    try:
        transformer.set_attn_implementation("eager")
        with silent(), torch.no_grad():
            torch.onnx.export(
                _Graph(model.to("cpu").eval()),
                (ids, mask),
                str(file),
                input_names=["input_ids", "attention_mask"],
                output_names=["last_hidden_state", "sentence_embedding"],
                dynamic_axes={**axes, "sentence_embedding": {0: "batch"}},
                opset_version=17,
                dynamo=False,
            )
    finally:
        transformer.set_attn_implementation(before)
        model.to(device).train(training)
