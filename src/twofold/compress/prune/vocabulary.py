"""A tokenizer that knows only the tokens that some texts use. Free of torch.

The texts are split as before, token by token, and what the tokenizer cannot do without stays: special and added
tokens, the unknown token, and single characters or bytes, from which any new word can still be spelt.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from tokenizers import Tokenizer

from twofold.core.errors import ConfigError, DataError

__all__ = ["used_tokens"]

AT_ONCE = 1_000
"""Texts tokenised at once."""
Described = dict[str, Any]
"""A tokenizer as its JSON tells it."""


def used_tokens(tokenizer: str, texts: Iterable[str], also: Collection[int] = ()) -> tuple[str, list[int]]:
    """Return a tokenizer that knows only what texts use, and the old ids of its tokens, in their old order.

    Token i of the new tokenizer is token `ids[i]` of the old one. Words that the texts lack come out in more pieces
    than before; give logged queries too.

    Args:
        tokenizer: the JSON of a Hugging Face fast tokenizer, of the kinds WordPiece, BPE, Unigram or WordLevel.
        texts: as they are given to the model, prefixes included. They are gone through twice.
        also: ids that stay whatever the texts use.

    Raises:
        ConfigError: the JSON is no tokenizer, or one of a kind that cannot be cut.
        DataError: there is no text.
    """
    texts = list(texts)
    if not texts:
        raise DataError("the tokens in use want at least one text; give some.")
    described, reader = _read(tokenizer)
    known = _vocabulary(described)
    used = {token for ids in _ids(reader, texts) for token in ids}
    names = {token: name for name, token in known.items()}
    kept = {names[token] for token in {*used, *also} if token in names} | _needed(described, known)
    if described["model"]["type"] == "BPE":
        kept |= _join(described["model"], kept, known)
    added = {int(token["id"]) for token in described.get("added_tokens", [])}
    ids = sorted({known[name] for name in kept} | added)
    smaller = _renumber(described, kept, ids)
    _compare(reader, _read(smaller)[1], texts, ids)
    return smaller, ids


def _read(tokenizer: str) -> tuple[Described, Tokenizer]:
    """Return what a tokenizer's JSON tells, and the tokenizer, reading whole texts without padding."""
    try:
        reader = Tokenizer.from_str(tokenizer)
        described: Described = json.loads(tokenizer)
    except Exception as error:  # tokenizers raises plain Exception
        raise ConfigError(f"the tokenizer cannot be read ({error}); give the content of a tokenizer.json.") from None
    reader.no_truncation()
    reader.no_padding()
    return described, reader


def _vocabulary(described: Described) -> dict[str, int]:
    """Return the ids of the model's own tokens by name.

    Raises:
        ConfigError: the kind is none that can be cut.
    """
    model = described["model"]
    if model["type"] == "Unigram":
        return {name: place for place, (name, _) in enumerate(model["vocab"])}
    if model["type"] not in ("WordPiece", "BPE", "WordLevel"):
        raise ConfigError(f"a tokenizer of the kind {model['type']!r} cannot be cut; keep all its tokens.")
    if model["type"] == "BPE" and (model.get("continuing_subword_prefix") or model.get("dropout")):
        raise ConfigError("a BPE tokenizer with a prefix inside words or with dropout cannot be cut; keep it whole.")
    return dict(model["vocab"])


def _needed(described: Described, known: Mapping[str, int]) -> set[str]:
    """Return the names that stay whatever the texts use."""
    model = described["model"]
    needed = {name for name in known if _single(name, model)}
    needed |= {str(token["content"]) for token in described.get("added_tokens", [])} & known.keys()
    if model["type"] == "Unigram":
        if model.get("unk_id") is not None:
            needed.add(model["vocab"][model["unk_id"]][0])
        # The cost of an unknown character depends on the least likely piece of all.
        needed.add(min(model["vocab"], key=lambda piece: piece[1])[0])
    elif model.get("unk_token") in known:
        needed.add(model["unk_token"])
    return needed


def _single(name: str, model: Described) -> bool:
    """Return whether a token is one character, or one byte written as <0x..>."""
    if len(name) == 6 and name.startswith("<0x"):
        return True
    inside, end = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    if len(name) > 1 and inside:
        name = name.removeprefix(inside)
    if len(name) > 1 and end:
        name = name.removesuffix(end)
    return len(name) == 1


def _join(model: Described, kept: Collection[str], known: Mapping[str, int]) -> set[str]:
    """Leave only the merges that lead to tokens that are kept, and return all tokens on the way there.

    Merges that cross the borders of a token do not happen inside it, so what happens to a token by itself is what
    happens to it in any text.
    """
    merges = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    used: set[tuple[str, ...]] = set()
    end = model.get("end_of_word_suffix") or ""
    for name in kept:
        stem = name.removesuffix(end) if end and len(name) > len(end) else name
        parts = list(stem)
        if stem != name:
            parts[-1] += end
        for merge in _merged(parts, ranks):
            used.add(merge)
    model["merges"] = [list(merge) for merge in merges if merge in used]
    found = {token for left, right in used for token in (left, right, left + right)}
    return found & known.keys()


def _merged(parts: list[str], ranks: Mapping[tuple[str, ...], int]) -> Iterator[tuple[str, str]]:
    """Yield the merges that a tokenizer makes of some parts: at each turn the best, of equal ones the first."""
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        rank, place = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairs))
        if rank == len(ranks):
            return
        yield pairs[place]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def _renumber(described: Described, kept: Collection[str], ids: Sequence[int]) -> str:
    """Return the JSON of the tokenizer with the kept tokens alone, numbered anew."""
    places = {old: new for new, old in enumerate(ids)}
    model = described["model"]
    if model["type"] == "Unigram":
        unknown = model.get("unk_id")
        model["vocab"] = [piece for piece in model["vocab"] if piece[0] in kept]
        model["unk_id"] = None if unknown is None else places[unknown]
    else:
        model["vocab"] = {name: places[token] for name, token in model["vocab"].items() if name in kept}
    for token in described.get("added_tokens", []):
        token["id"] = places[token["id"]]
    if described.get("padding"):
        described["padding"]["pad_id"] = places[described["padding"]["pad_id"]]
    if described.get("post_processor"):
        _renumber_ends(described["post_processor"], places)
    return json.dumps(described, ensure_ascii=False)


def _renumber_ends(processor: Described, places: Mapping[int, int]) -> None:
    """Number anew the tokens that are put before and behind a text."""
    for inner in processor.get("processors", []):
        _renumber_ends(inner, places)
    special = processor.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        token["ids"] = [places[one] for one in token["ids"]]
    for end in ("sep", "cls"):
        if end in processor:
            processor[end] = [processor[end][0], places[processor[end][1]]]


def _ids(reader: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    left = iter(texts)
    while part := list(islice(left, AT_ONCE)):
        yield from (encoding.ids for encoding in reader.encode_batch(part))


def _compare(old: Tokenizer, new: Tokenizer, texts: Sequence[str], ids: Sequence[int]) -> None:
    """Refuse a smaller tokenizer that reads a text otherwise than the whole one."""
    for text, before, after in zip(texts, _ids(old, texts), _ids(new, texts), strict=True):
        if before != [ids[token] for token in after]:
            raise ConfigError(f"the tokenizer cannot be cut: it would read {text[:60]!r} otherwise; keep it whole.")
