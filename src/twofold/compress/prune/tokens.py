"""Drop the rows of a token table that a catalogue never uses."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import transformers
from torch import nn

from twofold.compress.prune.families import Body, find_body
from twofold.compress.prune.structure import cut, parameter
from twofold.compress.prune.vocabulary import used_tokens
from twofold.core.errors import ConfigError
from twofold.train.silence import silent

__all__ = ["drop_rows", "drop_tokens"]


def drop_tokens(
    model: nn.Module, tokenizer: transformers.PreTrainedTokenizerFast, texts: Iterable[str]
) -> transformers.PreTrainedTokenizerFast:
    """Drop the tokens that texts never use from a model, in place, and return the tokenizer that goes with it.

    The model gives the same vectors of these texts as before. Special tokens, the unknown token and single
    characters or bytes stay, so that other texts can still be read, in more and shorter pieces.

    Args:
        model: a BERT, a Llama-type GPT or the encoder of a T5, or a module around it.
        tokenizer: of the model; it stays as it is.
        texts: as they are given to the model, prefixes included: the catalogue's, and logged queries.

    Raises:
        ConfigError: the tokenizer cannot be cut or is another model's, or as `drop_rows`.
        DataError: there is no text.
    """
    body = find_body(model)
    named = [token for _, _, value in _named_ids(body) for token in (value if isinstance(value, list) else [value])]
    if _counts_from_padding(model):
        named += range(int(body.model.config.pad_token_id) + 1)
    described = tokenizer.backend_tokenizer.to_str()
    smaller, kept = used_tokens(described, texts, also=[*named, *tokenizer.all_special_ids])
    drop_rows(model, kept)
    with silent():
        return _like(tokenizer, smaller)


def _like(tokenizer: transformers.PreTrainedTokenizerFast, described: str) -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer with other tokens that is used in the same way."""
    backend = type(tokenizer.backend_tokenizer).from_str(described)
    cls: Any = transformers.PreTrainedTokenizerFast
    smaller: transformers.PreTrainedTokenizerFast = cls(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=tokenizer.model_input_names,
        **{name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)},
    )
    return smaller


def drop_rows(model: nn.Module, kept: Sequence[int]) -> None:
    """Keep only some rows of the token table, in place, and of the output layer of a language model.

    The ids in the config follow. The tokenizer must be another one from then on: `drop_tokens` sees to both.

    Args:
        model: as in `drop_layers`.
        kept: old ids in rising order; row i of the new table is that of `kept[i]`.

    Raises:
        ConfigError: an id has no row, a token that the config names would go, or the output layer has a bias.
    """
    body = find_body(model)
    owner: Any = body.model  # whose accessors are untyped
    table, output = owner.get_input_embeddings(), owner.get_output_embeddings()
    assert isinstance(table, nn.Embedding)
    if not kept or list(kept) != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < table.num_embeddings:
        raise ConfigError(f"the tokens to keep do not fit a table of {table.num_embeddings} rows; give others.")
    if output is not None and getattr(output, "bias", None) is not None:
        raise ConfigError(f"{type(body.model).__name__} has an output layer with a bias; give the encoder alone.")
    places = {old: new for new, old in enumerate(kept)}
    moved = [(config, key, _moved(value, places, key)) for config, key, value in _named_ids(body)]
    padding = owner.config.pad_token_id
    if _counts_from_padding(model) and places[padding] != padding:
        raise ConfigError("the model's positions begin behind the padding token's id; keep all tokens before it, too.")
    rows = torch.tensor(kept, device=table.weight.device)
    if output is not None and output.weight is not table.weight:
        cut(output, rows, 0)
    _cut_table(body.model, table, rows)
    for config, key, value in moved:
        setattr(config, key, value)
    for config in body.configs:
        config.vocab_size = len(kept)


def _cut_table(model: nn.Module, table: nn.Embedding, rows: torch.Tensor) -> None:
    """Keep some rows of the token table in all modules that have it, and tell all modules that know its length."""
    places = {old: new for new, old in enumerate(rows.tolist())}
    whole, weight = table.weight, parameter(table.weight[rows], table.weight)
    for part in model.modules():
        module: Any = part  # the attributes differ by class
        if getattr(module, "weight", None) is whole:
            module.weight = weight
            length = "num_embeddings" if isinstance(module, nn.Embedding) else "out_features"
            setattr(module, length, len(rows))
            if getattr(module, "padding_idx", None) is not None:
                module.padding_idx = places.get(module.padding_idx)
        elif not isinstance(module, nn.Embedding) and isinstance(getattr(module, "padding_idx", None), int):
            module.padding_idx = places.get(module.padding_idx)
        if isinstance(getattr(module, "vocab_size", None), int):
            module.vocab_size = len(rows)


def _counts_from_padding(model: nn.Module) -> bool:
    """Return whether positions are numbered from the padding token's id, as in RoBERTa, so that it cannot move."""
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    return any(isinstance(table, nn.Embedding) and table.padding_idx is not None for table in tables)


def _named_ids(body: Body) -> list[tuple[Any, str, Any]]:
    """Return the tokens that configs name, such as `pad_token_id`, each with its config."""
    generation = getattr(body.model, "generation_config", None)
    return [
        (config, key, value)
        for config in (*body.configs, *([] if generation is None else [generation]))
        for key, value in config.to_dict().items()
        if key.endswith("_token_id") and value is not None
    ]


def _moved(value: Any, places: Mapping[int, int], key: str) -> Any:
    if isinstance(value, list):
        return [_moved(one, places, key) for one in value]
    if value not in places:
        raise ConfigError(f"the config's {key} is token {value}, which must stay; keep it too.")
    return places[value]
