"""`Pipeline`: stages in order, described by a recipe; turns a Query into a Slate."""

import copy
import json
import math
import time
import zlib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import polars as pl

from twofold.core.artifact import Artifact
from twofold.core.config import table
from twofold.core.dataset import Dataset
from twofold.core.diversity import depth, diversify, likeness
from twofold.core.errors import ArtifactError, ConfigError
from twofold.core.history import Histories
from twofold.core.ids import Codes, Id, new_id
from twofold.core.query import Batch, Evidence, Query
from twofold.core.recipe import EVIDENCE, Recipe
from twofold.core.scores import Candidates, Mask, Scores
from twofold.core.slate import Pick, Slate
from twofold.core.stage import Encoder, Expander, Fuser, Progress, Ranker, Retriever, Stage, link, make_stage

__all__ = ["Pipeline"]

TOGETHER = 256
"""Queries that are ranked at once."""
REASONS: tuple[tuple[Evidence, str], ...] = (("items", "like"), ("history", "because of"))


class Pipeline:
    """Stages in order, described by a recipe; turns a Query into a Slate.

    The first evidence that a query has, of text, items, history and nothing, says which items may be
    in the slate; the other evidence reorders them, and what a text finds is also ordered by popularity.
    Where the evidence is about taste rather than a search text, what is missing to k is filled with
    what is trending.
    """

    dataset: Dataset
    keys: dict[str, str]
    """For each stage, the one needed first, what its fit depends on beside the dataset and the seed."""
    available: Mask | None = None
    """Which items may appear at all, shape [n]; None where all may."""
    activity: Callable[[Id, Histories], Histories] | None = None
    """Given a user and what the log says of them, one row, returns what they did up to now; None takes the log."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._names: tuple[Dataset | None, dict[int, tuple[Id, str]]] = (None, {})
        self.encoders: dict[str, Encoder] = _stages_of(Encoder, recipe.encode, "encode", "encodes nothing")
        self.expanders: dict[str, Expander] = _stages_of(Expander, recipe.expand, "expand", "writes nothing")
        self.retrievers: dict[str, Retriever] = _stages_of(Retriever, recipe.retrieve, "retrieve", "finds no items")
        self.rankers: dict[str, Ranker] = _stages_of(Ranker, recipe.rank, "rank", "ranks nothing")
        fuser = make_stage(recipe.fuse, "fuse")
        if not isinstance(fuser, Fuser):
            raise ConfigError(f"[fuse] is of kind {recipe.fuse['kind']!r}, which fuses nothing; change it.")
        self.fuser = fuser
        self.stages = link({**self.encoders, **self.expanders, **self.retrievers, **self.rankers, "fuse": fuser})
        self.keys = _keys(self.stages)
        for evidence in EVIDENCE:
            for name in recipe.evidence.of(evidence):
                answered = self.retrievers[name].answers()
                if evidence not in answered:
                    raise ConfigError(
                        f"[evidence.{evidence}] names {name!r}, which answers only "
                        f"{' and '.join(answered)}; remove it there."
                    )

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator | int | None = None,
        progress: Progress | None = None,
        shelf: MutableMapping[str, Stage] | None = None,
    ) -> Self:
        """Fit every stage on a dataset and return self.

        What a stage learns depends on the dataset, the seed, its own options and the stages that it needs, not on
        the rest of the recipe.

        Args:
            dataset: what to learn from.
            rng: the seed of everything random.
            progress: told what is being done.
            shelf: stages that other pipelines fitted on the same dataset with the same seed, by their `keys`; those
                that fit here are shared, and what is fitted now is added.
        """
        seed = int(np.random.default_rng(rng).integers(2**63))
        shelf = {} if shelf is None else shelf
        for done, (name, key) in enumerate(self.keys.items()):
            if progress:
                progress(f"fit: {name}", done, len(self.stages))
            if key not in shelf:
                shelf[key] = self._fit_stage(name, dataset, seed, progress)
            self._place(name, shelf[key])
        if progress:
            progress("fit", len(self.stages), len(self.stages))
        self.dataset = dataset
        return self

    def _fit_stage(self, name: str, dataset: Dataset, seed: int, progress: Progress | None) -> Stage:
        stage, begun = self.stages[name], time.perf_counter()
        stage.progress = _told_as(name, progress) if progress else None
        stage.fit(dataset, rng=np.random.default_rng([seed, zlib.crc32(self.keys[name].encode())]))
        stage.progress, stage.seconds = None, time.perf_counter() - begun
        return stage

    def _place(self, name: str, stage: Stage) -> None:
        """Put a fitted stage where an unfitted one of the same options was."""
        old, self.stages[name] = self.stages[name], stage
        parts: tuple[dict[str, Any], ...] = (self.encoders, self.expanders, self.retrievers, self.rankers)
        for part in parts:
            if name in part:
                part[name] = stage
        if old is self.fuser:
            self.fuser = cast(Fuser, stage)
        for other in self.stages.values():
            other.linked |= {field: stage for field, linked in other.linked.items() if linked is old}

    def put_items(self, items: pl.DataFrame) -> None:
        """Add items to the catalogue, or describe some anew, at once and without learning anew.

        Encoders, the search index and content models know them from now on; what people like together with
        them is learned by the next `fit`.

        Args:
            items: as for `Dataset.with_items`.

        Raises:
            DataError: the rows do not fit the catalogue; then nothing has changed.
        """
        dataset, changed = self.dataset.with_items(items)
        for stage in self.stages.values():
            stage.update(dataset, changed)
        self.dataset = dataset
        if self.available is not None:
            self.available = np.pad(self.available, (0, len(dataset.items) - len(self.available)), constant_values=True)

    def observe(self, events: Histories) -> None:
        """Take in what people did since the fit, without learning anew: what is popular changes at once.

        Args:
            events: in any rows, with the codes of the items.
        """
        for stage in self.stages.values():
            stage.observe(events)

    def fork(self) -> "Pipeline":
        """Return a copy that can take in items and events while this one goes on answering as it is.

        Nothing that was learned is copied: stages put new arrays in the place of old ones, and never write into them.
        """
        twin = copy.copy(self)
        copies = {id(stage): copy.copy(stage) for stage in self.stages.values()}
        for part in ("stages", "encoders", "expanders", "retrievers", "rankers"):
            setattr(twin, part, {name: copies[id(stage)] for name, stage in getattr(self, part).items()})
        twin.fuser = cast(Fuser, copies[id(self.fuser)])
        for stage in copies.values():
            stage.linked = {field: copies.get(id(linked), linked) for field, linked in stage.linked.items()}
        return twin

    def run(self, query: Query) -> Slate:
        """Answer one query.

        Raises:
            DataError: a filter names an unknown column or does not fit it.
        """
        return self.run_many([query])[0]

    def run_many(self, queries: Sequence[Query], *, until: float = math.inf) -> list[Slate]:
        """Answer queries, one slate each, in their order; some hundreds at a time, so that memory stays bounded.

        Args:
            queries: the queries.
            until: when the last of the answers is wanted, in seconds of `time.monotonic`; no stage begins after it.

        Raises:
            DataError: a filter names an unknown column or does not fit it.
            LateError: it is too late for all of them.
        """
        parts = (queries[start : start + TOGETHER] for start in range(0, len(queries), TOGETHER))
        return [slate for part in parts for slate in self._run_together(part, until)]

    def _run_together(self, queries: Sequence[Query], until: float) -> list[Slate]:
        started = time.perf_counter()
        batch = replace(self.understand(queries), until=until)
        understood = time.perf_counter()
        found = self.rank(batch, max(depth(query.k, query.diversity) for query in queries))
        ranked = time.perf_counter()
        picks = [
            self._picks(query, batch.row(row), self._arranged(query, found.row(row)))
            for row, query in enumerate(queries)
        ]
        spent = {
            "understand": (understood - started) * 1000,
            "rank": (ranked - understood) * 1000,
            "explain": (time.perf_counter() - ranked) * 1000,
        }
        return [
            Slate(picks=found, id=new_id(), shortfall=_shortfall(query, len(found)), milliseconds=spent)
            for query, found in zip(queries, picks, strict=True)
        ]

    def understand(self, queries: Sequence[Query]) -> Batch:
        """Resolve queries to codes, histories and the items that each may show.

        Raises:
            DataError: a filter names an unknown column or does not fit it.
        """
        find = self.dataset.item_ids.encode
        histories, seeds, allowed = [], [], np.empty((len(queries), len(self.dataset.items)), bool)
        for row, query in enumerate(queries):
            history = self._history(query)
            histories.append(history.last(self.recipe.recent))
            allowed[row] = self.dataset.eligible(query.filters)
            if self.available is not None:
                allowed[row] &= self.available
            seen = history.items[: 0 if query.repeat else None]
            given = find(query.items)
            seeds.append(given[given >= 0])
            hidden = np.concatenate((find(query.exclude), given, seen))
            allowed[row, hidden[hidden >= 0]] = False
        return Batch(
            histories=Histories.concatenate(histories),
            seeds=Histories.from_lists(seeds),
            texts=[query.text for query in queries],
            images=[query.image for query in queries] if any(query.image for query in queries) else (),
            allowed=allowed,
        )

    def rank(self, batch: Batch, k: int) -> Candidates:
        """Return the k best items for each query of a batch, as codes."""
        groups: dict[tuple[Evidence, ...], list[int]] = {}
        for row, present in enumerate(zip(*(batch.has(evidence) for evidence in EVIDENCE), strict=True)):
            key = tuple(evidence for evidence, here in zip(EVIDENCE, present, strict=True) if here)
            groups.setdefault(key, []).append(row)
        if len(groups) == 1:
            return self._rank_alike(batch, next(iter(groups)), k)
        parts = [self._rank_alike(batch.take(rows), key, k) for key, rows in groups.items()]
        order = np.argsort(np.concatenate([np.array(rows) for rows in groups.values()]))
        return Candidates.stack(parts).take(order)

    def _rank_alike(self, batch: Batch, evidence: tuple[Evidence, ...], k: int) -> Candidates:
        """Rank queries that all bring the same kinds of evidence; "nothing" is always the last of them."""
        rankers = [ranker for ranker in self.rankers.values() if ranker.depth and evidence[0] in ranker.evidence]
        wanted = max([k, *(ranker.depth for ranker in rankers)])
        found = self.fuser.fuse(*self.opinions(batch, evidence[0]), batch.allowed, size=len(batch), k=wanted)
        for ranker in rankers:
            batch.check_time()
            found = ranker.rank(batch, evidence[0], found)
        # What a text finds is also ordered by what is popular; taste and seeds are not, or all would get the same.
        for other in evidence[1:] if evidence[0] == "text" else evidence[1:-1]:
            found = self.fuser.reorder(found, *self.opinions(batch, other), self.recipe.blend)
        found = found.head(k)
        full = found.items.shape[1] == k and bool((found.items >= 0).all())
        if full or evidence[0] in ("text", "image", "nothing"):
            return found
        wanted = k + found.items.shape[1]
        popular = self.fuser.fuse(*self.opinions(batch, "nothing"), batch.allowed, size=len(batch), k=wanted)
        return found.then(popular).head(k)

    def heeds(self, query: Query, slate: Slate) -> bool:
        """Return whether what others do may change the slate that a query got, see `observe`.

        If not, it stays what it is until its user does something or the catalogue changes.
        """
        given = {
            "text": query.text is not None,
            "image": query.image is not None,
            "items": bool(query.items),
            "history": query.user is not None or bool(query.history),
            # What is missing to k is filled with it, and `diversity` may have passed over what was filled.
            "nothing": query.text is not None
            or query.diversity > 0
            or len(slate) < query.k
            or any(name.startswith("nothing.") for pick in slate.picks for name in pick.sources),
        }
        asked = {name for kind in EVIDENCE if given[kind] for name in self.recipe.evidence.asked(kind)}
        return any(stage.heeds for name, stage in self.stages.items() if name in asked or name not in self.retrievers)

    def _arranged(self, query: Query, found: Candidates) -> Candidates:
        """Return the k best of one query's ranking, or those that are good and differ."""
        if not query.diversity:
            return found.head(query.k)
        items = found.items[0, : depth(query.k, query.diversity)]
        items = items[items >= 0]
        vectors = [encoder.vectors[items] for encoder in self.encoders.values()]
        chosen = diversify(likeness(self.dataset.items, items, vectors), query.k, query.diversity)
        return found.columns(chosen)

    def opinions(self, batch: Batch, evidence: Evidence) -> tuple[dict[str, Scores], dict[str, float]]:
        """Return what the retrievers for a kind of evidence think, and their weights, by `evidence.name`.

        A retriever of weight 0 is not asked.

        Raises:
            LateError: it is too late for all queries.
        """
        weights = self.recipe.evidence.asked(evidence)
        opinions = {}
        for name in weights:
            batch.check_time()
            opinions[f"{evidence}.{name}"] = self.retrievers[name].score(batch, evidence)
        return opinions, dict(zip(opinions, weights.values(), strict=True))

    def _history(self, query: Query) -> Histories:
        """Return what the user of a query did: the logged events, then the query's own, as one row."""
        user = self.dataset.user_ids.find(query.user) if query.user is not None else -1
        logged = self.dataset.log.row(user) if user >= 0 else Histories.empty(1)
        if query.user is not None and self.activity is not None:
            logged = self.activity(query.user, logged)
        if not query.history:
            return logged
        codes = self.dataset.item_ids.encode(query.history)
        both = Histories.concatenate([logged, Histories.from_lists([codes[codes >= 0]])])
        return replace(both, indptr=both.indptr[[0, -1]])

    def _picks(self, query: Query, batch: Batch, found: Candidates) -> tuple[Pick, ...]:
        """Dress the ranking of one query with ids, titles, snippets and reasons."""
        codes = found.items[0, : int((found.items[0] >= 0).sum())]
        snippets: dict[int, str] = {}
        if query.text:
            for name in self.recipe.evidence.text:
                snippets |= self.retrievers[name].snippets(query.text, codes.tolist())
        heard = {name: scores[0].tolist() for name, scores in found.sources.items()}
        scores, reasons = found.scores[0].tolist(), self._reasons(query, batch, codes)
        rows = zip(codes.tolist(), self._named(codes), strict=True)
        return tuple(
            Pick(
                item=item,
                title=title,
                score=scores[column],
                sources={name: said[column] for name, said in heard.items() if not math.isnan(said[column])},
                reason=reasons[column],
                snippet=snippets.get(code),
            )
            for column, (code, (item, title)) in enumerate(rows)
        )

    def _named(self, codes: Codes) -> list[tuple[Id, str]]:
        """Return the ids and titles of items; those of items that were shown before are remembered."""
        if self._names[0] is not self.dataset:
            self._names = (self.dataset, {})
        names = self._names[1]
        if unknown := [code for code in codes.tolist() if code not in names]:
            new = np.array(unknown, np.int32)
            pairs = zip(self.dataset.item_ids.decode(new), self.dataset.titles(new), strict=True)
            names.update(zip(unknown, pairs, strict=True))
        return [names[code] for code in codes.tolist()]

    def _reasons(self, query: Query, batch: Batch, codes: Codes) -> list[str]:
        """Say why items are here: by the search text, else by the event that adds most to the score."""
        if query.text is not None:
            return [f"matches “{query.text}”"] * len(codes)
        if query.image is not None:
            return ["looks like the image"] * len(codes)
        reasons = ["popular now"] * len(codes)
        open_ = np.ones(len(codes), bool)
        for evidence, words in REASONS:
            events, weights = batch.events(evidence), self.recipe.evidence.of(evidence)
            for name in sorted(weights, key=lambda name: -weights[name]) if len(events.items) else ():
                if weights[name] <= 0 or not open_.any():
                    break  # asking a network what each event is worth takes longer than asking it for a ranking
                amounts = self.retrievers[name].contributions(batch, evidence, codes)
                if amounts is None:
                    continue
                best = amounts.argmax(axis=0)
                told = open_ & (amounts[best, np.arange(len(codes))] > 0)
                open_ &= ~told
                named = self._named(events.items[best[told]])
                for column, (_, title) in zip(np.flatnonzero(told), named, strict=True):
                    reasons[column] = f"{words} {title}"
        return reasons

    def save(self, path: Path, *, description: Mapping[str, Any] | None = None) -> Artifact:
        """Write the fitted pipeline as an artifact.

        Args:
            path: the artifact's folder; an artifact there is replaced.
            description: more for the manifest, such as a measured report.

        Raises:
            ArtifactError: it cannot be written; what was there before stays.
        """
        about = {"recipe": self.recipe.as_table(), "data": self.dataset.fingerprint(), **(description or {})}
        return Artifact.write(path, self._write, about)

    def _write(self, folder: Path) -> None:
        self.dataset.save(folder / "dataset")
        for name, stage in self.stages.items():
            part = folder / "stages" / name
            part.mkdir(parents=True)
            stage.save(part)

    @classmethod
    def load(cls, path: Path) -> "Pipeline":
        """Read a fitted pipeline; its arrays are memory-mapped.

        Raises:
            ArtifactError: the artifact is missing, truncated or altered.
        """
        artifact = Artifact.open(path)
        pipeline = cls(Recipe.from_table(artifact.manifest["recipe"]))
        pipeline.dataset = Dataset.load(artifact.folder / "dataset")
        for name, stage in pipeline.stages.items():
            folder = artifact.folder / "stages" / name
            try:
                stage.restore(folder, pipeline.dataset)
            except (OSError, ValueError) as error:
                raise ArtifactError(f"{folder} cannot be read ({error}); fit the pipeline again.") from error
        return pipeline


def _keys(stages: Mapping[str, Stage]) -> dict[str, str]:
    """Return for each stage a text that says all that its fit depends on beside the data and the seed."""
    keys: dict[str, str] = {}
    for name, stage in stages.items():
        options = {} if stage.config is None else table(stage.config)
        options = {field: value for field, value in options.items() if field not in stage.incidental}
        needed = {field: keys[getattr(stage.config, field)] for field in stage.linked}
        keys[name] = json.dumps([type(stage).__qualname__, options, needed], sort_keys=True, default=str)
    return keys


def _told_as(name: str, progress: Progress) -> Progress:
    return lambda what, done, of: progress(f"{name}: {what}", done, of)


def _stages_of(cls: type[Any], tables: Mapping[str, Mapping[str, Any]], part: str, lacks: str) -> dict[str, Any]:
    """Make the stages of one part of a recipe, which must be of a type."""
    stages: dict[str, Any] = {}
    for name, options in tables.items():
        stage = make_stage(options, f"{part}.{name}")
        if not isinstance(stage, cls):
            raise ConfigError(f"[{part}.{name}] is of kind {options['kind']!r}, which {lacks}; change it.")
        stages[name] = stage
    return stages


def _shortfall(query: Query, found: int) -> str | None:
    """Say why fewer than k items came, or nothing where k came."""
    if found >= query.k:
        return None
    count = "no item" if not found else "only 1 item" if found == 1 else f"only {found} items"
    if query.text is None:
        return f"{count} left after filters, exclusions and what was seen"
    if not any(character.isalnum() for character in query.text):
        return "the text has no word to search for"
    return f"{count} matching the text, the filters and the exclusions"
