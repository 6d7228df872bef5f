"""`TextSubject`: a text encoder, with a catalogue's texts and, where there are any, searches with known answers.

Where there are none, quality is how well the teacher's own ranking of held-out texts is kept: nDCG@10 where the gain
of a text is its likeness to the query by the teacher, 0 at the median text and 1 at the likest.
"""

import copy
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from twofold.compress.runtime import GRAPH, Feed
from twofold.core.artifact import Artifact
from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, DataError, nearest
from twofold.core.scores import Floats
from twofold.core.sealing import sha256
from twofold.data.texts import item_texts
from twofold.encoders.text.runtime import OnnxEncoder
from twofold.encoders.text.weights import find_model
from twofold.flows.compress.judging import gains_of, order_kept
from twofold.flows.compress.subject import Body, Making, Network, Part, Subject, Use

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Judged", "TextData", "TextSubject", "text_data", "text_subject"]

SHORT, LONG = 16, 128
"""Tokens of a query and of a document, as speed is measured."""
MANY = 32
CALIBRATION = 64
"""Texts that ranges are taken from: of all lengths, but cut as `LONG` says."""
QUERIES, DOCUMENTS, FEWEST = 300, 1_000, 40
"""How many cases and texts quality is measured on, and how few cases will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Searches among some documents."""

    queries: tuple[str, ...]
    gains: tuple[Mapping[int, float], ...]
    """For each query, the gain of documents by their place; empty where the teacher says it, see the module."""
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextData:
    """What a text encoder is compressed with."""

    texts: tuple[str, ...]
    """Of the catalogue, without labels: for calibration and for distilling."""
    parts: Mapping[Part, Judged]
    judged: bool
    """Whether people said what answers what."""
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.texts) < 2:
            raise DataError(
                f"compressing needs texts like those that the model will read, and there are {len(self.texts)}; "
                "give a catalogue with --data."
            )

    def fingerprint(self) -> str:
        """Return a hash of all of it."""
        found = hashlib.sha256()
        for part in self.parts.values():
            found.update(json.dumps([part.queries, [sorted(g.items()) for g in part.gains], part.documents]).encode())
        found.update(json.dumps(self.texts).encode())
        return found.hexdigest()


def text_data(dataset: Dataset, *, seed: int = 0, queries: int = QUERIES, documents: int = DOCUMENTS) -> TextData:
    """Take from a catalogue what compressing needs; where it has searches, half of them chooses and half reports.

    Without searches, titles of items search among the texts of the items, and the teacher says what answers them.

    Args:
        dataset: with `queries`, or without.
        seed: draws the cases and the documents.
        queries: cases of each part, at most.
        documents: texts of each part, at most, but all that answer a case.

    Raises:
        DataError: there are too few texts.
    """
    rng = np.random.default_rng(seed)
    texts = item_texts(dataset.items)
    places = np.array([place for place, text in enumerate(texts) if text.strip()], np.int64)
    if len(places) < FEWEST:
        raise DataError(
            f"compressing needs at least {FEWEST} items with a title or a text, and there are {len(places)}; "
            "give a larger catalogue."
        )
    gains = _answers(dataset)
    parts: dict[Part, Judged] = {}
    sides: tuple[Part, Part] = ("choose", "report")
    if len(gains) >= FEWEST:
        names = [list(gains)[place] for place in rng.permutation(len(gains))]
        halves = (names[: len(names) // 2], names[len(names) // 2 :])
        parts = {
            part: judged_among(texts, places, {name: gains[name] for name in half[:queries]}, documents, rng)
            for part, half in zip(sides, halves, strict=True)
        }
    else:
        held = rng.permutation(places)[: 2 * min(queries, len(places) // 4)]
        titles = dataset.items["title"] if "title" in dataset.items.columns else [None] * len(texts)
        asked = [titles[int(place)] or texts[place][:200] for place in held]
        parts = {
            part: Judged(
                queries=tuple(asked[start::2]),
                gains=(),
                documents=tuple(texts[place] for place in _some(places, documents, rng)),
            )
            for start, part in enumerate(sides)
        }
    shown = [texts[place] for place in rng.permutation(places)]
    searched = [name for name in dataset.queries["text"].unique(maintain_order=True) if name not in set(_told(parts))]
    return TextData(
        texts=tuple(dict.fromkeys([*shown, *searched])),
        parts=parts,
        judged=len(gains) >= FEWEST,
        about={"data": dataset.fingerprint(), "seed": seed},
    )


def _told(parts: Mapping[Any, Judged]) -> list[str]:
    return [query for part in parts.values() for query in part.queries]


def _answers(dataset: Dataset) -> dict[str, dict[int, float]]:
    """Return for each search the gains of items, by their place."""
    gains: dict[str, dict[int, float]] = {}
    frame = dataset.queries
    codes = dataset.item_ids.encode_series(frame["item"]) if len(frame) else ()
    for text, code, grade in zip(frame["text"], codes, frame["grade"], strict=True):
        if code >= 0 and grade > 0:
            gains.setdefault(text, {})[int(code)] = float(grade)
    return gains


def judged_among(
    texts: Sequence[str],
    places: npt.NDArray[np.int64],
    gains: Mapping[str, Mapping[int, float]],
    documents: int,
    rng: np.random.Generator,
) -> Judged:
    """Return searches among the texts that answer them and some others.

    Args:
        texts: of all items.
        places: of those that say something.
        gains: for each search, of items by their place.
        documents: how many texts, at most, but for those that answer.
        rng: draws the others.
    """
    needed = {place for answers in gains.values() for place in answers}
    others = np.array([place for place in places if place not in needed], np.int64)
    chosen = sorted({*needed, *_some(others, max(documents - len(needed), 0), rng).tolist()})
    row = {place: number for number, place in enumerate(chosen)}
    return Judged(
        queries=tuple(gains),
        gains=tuple({row[place]: gain for place, gain in answers.items()} for answers in gains.values()),
        documents=tuple(texts[place] for place in chosen),
    )


def _some(places: npt.NDArray[np.int64], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.sort(rng.choice(places, count, replace=False)) if len(places) > count else places


def text_subject(model: str, source: Dataset | Path, *, seed: int = 0) -> "TextSubject":
    """Return what is compressed from what a person says.

    Args:
        model: a folder, or a name as `find_model` knows them; where `source` is an artifact, the name of a text
            encoder in its recipe.
        source: a catalogue, with searches or without, or the path of a fitted pipeline.
        seed: draws the cases.

    Raises:
        ConfigError: there is no such model.
        ArtifactError: the artifact cannot be read.
        DataError: there are too few texts.
    """
    if isinstance(source, Dataset):
        return TextSubject(find_model(model), text_data(source, seed=seed), name=model)
    artifact = Artifact.open(source)
    dataset = Dataset.load(artifact.folder / "dataset")
    stages = artifact.manifest["recipe"].get("encode", {})
    known = [name for name, about in stages.items() if about.get("kind") == "text-encoder"]
    if model not in known:
        raise ConfigError(f"{source} has no text encoder {model!r}; {nearest(model, known)}")
    return TextSubject(artifact.folder / "stages" / model, text_data(dataset, seed=seed), name=model)


class TextSubject(Subject):
    """A text encoder in a folder that sentence-transformers reads; see the module.

    Args:
        folder: of the model.
        data: texts and judgements.
        name: by which it is shown.
    """

    kind = "text encoder"
    output = "sentence_embedding"

    def __init__(self, folder: Path, data: TextData, *, name: str = "") -> None:
        self.folder, self.data = folder, data
        self.name = name or folder.name
        self.metric = "nDCG@10" if data.judged else "nDCG@10 of the teacher's ranking"
        self.about = {
            "quality": self.metric,
            "judged by": "people" if data.judged else "the teacher: the gain of a text is its likeness to the query",
            **{
                f"cases to {part}": f"{len(judged.queries)} queries among {len(judged.documents)} texts"
                for part, judged in data.parts.items()
            },
            **data.about,
        }
        self._model: SentenceTransformer | None = None
        self._gains: dict[Part, tuple[Mapping[int, float], ...]] = {
            part: judged.gains for part, judged in data.parts.items()
        }
        transformer: Any = self.model[0]
        config = transformer.auto_model.config
        self.family = {"llama": "llama", "t5": "t5", "gpt2": "gpt2"}.get(config.model_type, "bert")
        self.heads = int(getattr(config, "num_attention_heads", None) or getattr(config, "num_heads", 0) or 0)
        self.width = int(getattr(config, "hidden_size", None) or getattr(config, "d_model", 0) or 0)

    @property
    def model(self) -> "SentenceTransformer":
        """The teacher; it stays as it is."""
        if self._model is None:
            from twofold.encoders.text.model import load_model  # noqa: PLC0415  torch is for compressing only

            self._model = load_model(self.folder)
        return self._model

    def fingerprint(self) -> str:
        """See `Subject`."""
        files = sorted(file for file in self.folder.rglob("*.safetensors") if file.is_file())
        seals = [sha256(file) for file in files]
        return hashlib.sha256(json.dumps([self.kind, seals, self.data.fingerprint()]).encode()).hexdigest()

    def export(self, making: Making) -> Sequence[str]:
        """See `Subject`."""
        self.save(self.model, making.folder)
        return ()

    def save(self, model: "SentenceTransformer", folder: Path) -> None:
        """Write a model as a rung's folder: the graph and the tokenizer, and nothing that only torch reads."""
        from twofold.encoders.text.model import export  # noqa: PLC0415

        export(model, folder / GRAPH)
        _fix_width(folder / GRAPH, int(model.get_embedding_dimension() or 0))
        model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        prompts = {name: str(model.prompts.get(name) or "") for name in ("query", "document")}
        about = {"prompts": prompts, "similarity_fn_name": "cosine"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(about), encoding="utf-8")

    def copy(self) -> "SentenceTransformer":
        """Return a copy of the teacher that may be changed."""
        return copy.deepcopy(self.model)

    def bodies(self) -> list[Body]:
        """See `Subject`."""
        from twofold.flows.compress.bodies import text_bodies  # noqa: PLC0415  with torch

        return text_bodies(self)

    def teacher(self, threads: int) -> Network:
        """See `Subject`."""
        import torch  # noqa: PLC0415

        model = self.model.to("cpu").eval()

        def run(feed: Feed) -> Floats:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                with torch.inference_mode():
                    given = {name: torch.from_numpy(feed[name]) for name in ("input_ids", "attention_mask")}
                    return np.asarray(model(given)["sentence_embedding"].numpy())
            finally:
                torch.set_num_threads(before)

        return run

    def feeds(self, use: Use, folder: Path) -> list[Feed]:
        """See `Subject`; real texts, cut or joined to the very lengths where speed is measured."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        texts = list(self.data.texts)
        if use == "one":
            return [_exactly(tokenizer, texts[row:], 1, SHORT) for row in range(0, min(16, len(texts)), 4)]
        if use == "many":
            return [_exactly(tokenizer, texts, MANY, LONG)]
        if use == "calibrate":
            chosen = sorted(texts[:: max(len(texts) // CALIBRATION, 1)][:CALIBRATION], key=len)
            return [_padded(tokenizer, chosen[start : start + 16], LONG) for start in range(0, len(chosen), 16)]
        short, long = [text[:60] for text in texts[:33]], [_joined(texts[row:], 2_000) for row in range(33)]
        mixed = short[:17] + [text[:300] for text in texts[17:33]]
        return [_padded(tokenizer, part) for part in (short[:1], long[:1], short[:32], long[:32], mixed[:33])]

    def prepare(self, network: Network, folder: Path) -> None:
        """See `Subject`."""
        if self.data.judged:
            return
        encoder = self._encoder(network, folder)
        for part, judged in self.data.parts.items():
            self._gains[part] = tuple(map(gains_of, self._likeness(encoder, judged)))

    def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
        """See `Subject`."""
        return order_kept(self._likeness(self._encoder(network, folder), self.data.parts[part]), self._gains[part])

    def _encoder(self, network: Network, folder: Path) -> OnnxEncoder:
        return OnnxEncoder(folder, network=network)

    def _likeness(self, encoder: OnnxEncoder, judged: Judged) -> Floats:
        prompts = {name: str(self.model.prompts.get(name) or "") for name in ("query", "document")}
        queries = encoder.encode(judged.queries, prefix=prompts["query"])
        documents = encoder.encode(judged.documents, prefix=prompts["document"])
        return np.asarray(queries @ documents.T)


def _fix_width(file: Path, width: int) -> None:
    """Say in a graph how long its vectors are; the exporter leaves that open for some models."""
    import onnx  # noqa: PLC0415

    model = onnx.load_model(str(file))
    output = next(value for value in model.graph.output if value.name == TextSubject.output)
    output.type.tensor_type.shape.dim[-1].dim_value = width
    onnx.save_model(model, str(file))


def _exactly(tokenizer: Tokenizer, texts: Sequence[str], rows: int, tokens: int) -> Feed:
    """Return rows of so many tokens each: texts one after the other, with their own beginning and end."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    ids, place = [], 0
    for _ in range(rows):
        wanted = _joined([*texts[place:], *texts[:place]], tokens * 12)
        while len(tokenizer.encode(wanted).ids) < tokens:
            wanted += f" {wanted}"
        ids.append(tokenizer.encode(wanted).ids)
        place = (place + 7) % len(texts)
    found = np.array(ids, np.int64)
    return {"input_ids": found, "attention_mask": np.ones_like(found)}


def _joined(texts: Sequence[str], letters: int) -> str:
    words, size = [], 0
    for text in texts:
        words.append(text)
        size += len(text) + 1
        if size >= letters:
            break
    return " ".join(words)[: letters * 2] or "a"


def _padded(tokenizer: Tokenizer, texts: Sequence[str], most: int = sys.maxsize) -> Feed:
    """Return texts as a batch, cut where the folder says and at so many tokens, padded to the longest."""
    encodings = tokenizer.encode_batch([text or "a" for text in texts])
    length = min(max(sum(encoding.attention_mask) for encoding in encodings), most)
    ids = np.array([encoding.ids[:length] for encoding in encodings], np.int64)
    mask = np.array([encoding.attention_mask[:length] for encoding in encodings], np.int64)
    return {"input_ids": ids, "attention_mask": mask}
