"""`TextEncoder`: a pre-trained language model that turns items and search texts into vectors."""

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import ArtifactError, ConfigError, needed_for
from twofold.core.rungs import Network
from twofold.core.scores import Floats
from twofold.core.stage import Encoder, Modality, Retriever, Stage
from twofold.data.texts import item_texts
from twofold.encoders.text.finetune import FineTune, finetune
from twofold.encoders.text.pairs import pairs_of, search_with
from twofold.encoders.text.runtime import OnnxEncoder, TextVectors
from twofold.encoders.text.weights import find_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["TextEncoder", "TextEncoderConfig"]

SAMPLE = 16
"""Titles that a rung and the fitted encoder must agree on."""
AGREEMENT = 0.5
"""The mean cosine of their vectors below which a rung is taken for one of another model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderConfig:
    """Options of `TextEncoder`."""

    model: str = "minilm"
    """A short name (minilm, smollm2, e5-small), a folder, or a name on the Hugging Face hub."""
    pooling: Literal["", "mean", "cls", "last"] = ""
    """How a text's token vectors become one; "" as the model's folder says, and the mean where it says nothing."""
    max_tokens: int = 0
    """Tokens of a text that are read; 0 as the model's folder says."""
    dimensions: int = 0
    """Leading dimensions of a vector that are kept (matryoshka); 0 keeps all."""
    query_prefix: str | None = None
    """Put before what people search with; None as the model's folder says."""
    document_prefix: str | None = None
    """Put before items; None as the model's folder says."""
    batch_size: int = 32
    """Texts that are encoded at once."""
    threads: int = 0
    """Threads for encoding; 0 takes as many as there are."""
    finetune: FineTune = field(default_factory=FineTune)
    """How the model is fine-tuned on the dataset first; not at all as long as neither its `minutes` nor its `steps`
    is set."""
    negatives: str = ""
    """A retriever by its name in the recipe; fine-tuning learns from what it finds for a search and nobody wanted."""
    allow_download: bool = False
    """Whether a model that is not in the local hub cache may be fetched."""
    allow_pickle: bool = False
    """Whether weights may be pickled, which can run code when they are read."""

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.dimensions, self.threads) < 0 or self.batch_size < 1:
            raise ValueError("a text encoder wants max_tokens, dimensions and threads >= 0 and batch_size >= 1.")


class TextEncoder(Encoder):
    """A language model of the BERT, GPT or T5 family that encodes items by what they say, and search texts.

    The vectors have length 1, so that their dot product is a cosine. `fit` loads the model through
    sentence-transformers and writes it as an ONNX graph; encoding, there and later, is onnxruntime's.
    What is saved is a folder that plain sentence-transformers loads, with the graph and the items' vectors in it;
    reading it again needs neither torch nor transformers.

    Source: Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks" (EMNLP 2019);
    Kusupati et al., "Matryoshka Representation Learning" (NeurIPS 2022) for `dimensions`.
    """

    Config = TextEncoderConfig
    state = ("vectors",)
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType({"negatives": Retriever})  # type: ignore[type-abstract]
    reads = ("text",)
    config: TextEncoderConfig
    output = "sentence_embedding"
    runner: TextVectors
    """Encodes what people search with: the model itself, or one of another size in its place, of the same space."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Load the model, fine-tune it where the options say so, export it, and encode all items.

        Raises:
            ConfigError: there is no such model, something about it is wrong, or `negatives` cannot search by text.
            DataError: there is nothing to fine-tune on.
            MissingExtraError: the package that carries it, or a package for training, is not installed.
        """
        with needed_for("fitting a text encoder", "train"):
            from twofold.encoders.text.model import load_model, save_model  # noqa: PLC0415  torch is for fitting only
        config = self.config
        folder = find_model(config.model, allow_download=config.allow_download, allow_pickle=config.allow_pickle)
        model = load_model(
            folder, pooling=config.pooling, max_tokens=config.max_tokens, allow_pickle=config.allow_pickle
        )
        width = int(model.get_embedding_dimension() or 0)
        if config.dimensions > width:
            raise ConfigError(f"dimensions = {config.dimensions} is more than the model's {width}; lower it.")
        for name, prefix in (("query", config.query_prefix), ("document", config.document_prefix)):
            model.prompts[name] = (model.prompts.get(name) or "") if prefix is None else prefix
        if config.finetune.on:
            self._finetune(model, dataset, np.random.default_rng(rng))
        written = Path(tempfile.mkdtemp(prefix="twofold-"))
        weakref.finalize(self, shutil.rmtree, written, ignore_errors=True)
        save_model(model, written)
        self._open(written)
        self.vectors = self.encode_items(dataset.items)
        return self

    def learns_log(self) -> bool:
        """See `Stage.learns_log`."""
        return self.config.finetune.on

    def learns_searches(self) -> bool:
        """See `Stage.learns_searches`: where it is fine-tuned on them."""
        return self.config.finetune.on and self.config.finetune.queries > 0

    def _finetune(self, model: "SentenceTransformer", dataset: Dataset, rng: np.random.Generator) -> None:
        searcher: Retriever | None = self.linked.get("negatives")
        if searcher is not None and "text" not in searcher.answers():
            raise ConfigError(f"negatives = {self.config.negatives!r} cannot search by text; name another retriever.")
        seed = int(rng.integers(2**31))
        search = search_with(searcher) if searcher is not None else None
        pairs = pairs_of(dataset, self.config.finetune, rng=rng, search=search)
        finetune(model, pairs, self.config.finetune, seed=seed, progress=self.progress)

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of search texts, float32 [b, d]; empty ones get zeros."""
        return self.runner.encode(values, prefix=self._prompts["query"])

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return the vectors of items by title, categories and text, float32 [n, d]; where all are empty, zeros."""
        return self._runtime.encode(item_texts(items), prefix=self._prompts["document"])

    def save(self, folder: Path) -> None:
        """Write the model and the vectors into a folder that plain sentence-transformers loads."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("vectors.npy"))
        super().save(folder)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; the vectors are memory-mapped."""
        super().restore(folder, dataset)
        self._open(folder)

    def _open(self, folder: Path) -> None:
        self.folder = folder
        about = json.loads((folder / "config_sentence_transformers.json").read_text(encoding="utf-8"))
        self._prompts: dict[str, str] = about["prompts"]
        self._runtime = OnnxEncoder(
            folder,
            threads=self.config.threads,
            batch_size=self.config.batch_size,
            dimensions=self.config.dimensions,
        )
        self.runner = self._runtime

    def open_rung(self, folder: Path, network: Network, dataset: Dataset) -> OnnxEncoder:
        """See `Scaled.open_rung`; both must agree on titles, since the items' vectors are the fitted one's."""
        encoder, own = OnnxEncoder(folder, network=network), self._runtime
        if encoder.dimensions > own.dimensions:  # of a model whose leading numbers are kept
            encoder = OnnxEncoder(folder, network=network, dimensions=own.dimensions)
        titles = dataset.items["title"].drop_nulls().head(SAMPLE).to_list()
        expected, found = own.encode(titles), encoder.encode(titles)
        alike = found.shape == expected.shape and (found * expected).sum() >= AGREEMENT * len(titles)
        if not alike:
            raise ArtifactError(
                f"the rung {folder} gives other vectors than the encoder that encoded the items; make the ladder from "
                "this artifact with `twofold compress`."
            )
        return encoder
