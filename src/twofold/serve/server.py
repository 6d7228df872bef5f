"""`Server`: what one worker process holds: the pipeline that answers, the event store, and the threads that keep up."""

import json
import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from twofold.core.artifact import Artifact
from twofold.core.errors import ConfigError, LateError, StoreError, TwofoldError
from twofold.core.event import Event
from twofold.core.ids import Id, new_id
from twofold.core.ladder import LADDER, Ladder
from twofold.core.pipeline import Pipeline
from twofold.core.query import Query
from twofold.core.rungs import apply_settings
from twofold.core.slate import Slate
from twofold.core.threads import available_threads
from twofold.events import EventStore, LoggedSlate, SqlStore
from twofold.serve import wire
from twofold.serve.asking import Answering, Questions
from twofold.serve.beside import Beside
from twofold.serve.control import Controller, Steering, Step
from twofold.serve.experiments import RESERVED, Assigned, Experiments, unit_of
from twofold.serve.gathering import Gatherer, plain
from twofold.serve.kept import KeptSlates
from twofold.serve.keys import Keyring, read_keys
from twofold.serve.live import Live
from twofold.serve.metrics import Metrics, told_count
from twofold.serve.rungs import VectorCache, cache_searches, ladder_of, open_ladder
from twofold.serve.settings import Settings
from twofold.serve.slates import SlateLog
from twofold.serve.tallies import Tallies

__all__ = ["Server", "check"]

log = logging.getLogger("twofold.serve")

LOOK_SECONDS = 0.25
"""How often the artifact's link and the keys are looked at."""
MANIFEST = "manifest.json"
WRITES_TOGETHER = 256
BEHIND = 1_000
"""So many unread events, and a worker asks for no more traffic until it has caught up."""


class Server:
    """One worker.

    Args:
        settings: how it runs.
        store: the events; by default those of the file that the settings name.

    Raises:
        ArtifactError: the artifact cannot be opened.
        StoreError: the event store cannot be opened.
        ConfigError: the keys cannot be read.
    """

    def __init__(self, settings: Settings, store: EventStore | None = None) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.keyring: Keyring | None = None
        if settings.keys is not None:
            self._known_keys = _sign(settings.keys)
            self.keyring = Keyring(read_keys(settings.keys), share=1 / told_count())
        self.store = SqlStore(settings.events) if store is None else store
        self.trouble: str | None = None
        self._vectors = VectorCache(settings.cached_vectors)
        self.experiments = Experiments(stored.event for stored in self.store.of_ids(RESERVED))
        self.slates, self.tallies = SlateLog(self.store, self.metrics), Tallies(self.store)
        self._seen, self.answering = self._open(settings.artifact.resolve())
        # Products are small, and threads that wait for the next one take the cores of other workers and of callers.
        threadpool_limits(1, "blas")
        self.beside = Beside(settings.artifact, lambda folder: self._open(folder)[1], self.experiments, self._tell)
        self.beside.look()
        self.questions = Questions(
            self._answer,
            lambda: self.answering,
            self.metrics,
            deadlines={
                "interactive": settings.interactive_ms / 1000,
                "standard": settings.standard_ms / 1000,
                "batch": settings.batch_ms / 1000,
            },
            together=settings.together,
            most=settings.waiting,
        )
        self.writing = Gatherer(self._write, name="writing", together=WRITES_TOGETHER, most=settings.waiting)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._keep)]

    @property
    def live(self) -> Live:
        """The artifact that answers now, with all that happened since it was fitted."""
        return self.answering.live

    def start(self) -> None:
        """Begin to keep up with the event store and with the artifact's link."""
        for thread in self._threads:
            thread.start()
        self.slates.start()

    def stop(self) -> None:
        """Finish what is being done, and let go of everything."""
        self._stopped.set()
        self.live.news.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self.questions.close()
        self.writing.close()
        self.slates.close()
        self.store.close()

    def assign(self, user: Id | None, session: Id | None) -> Assigned:
        """Return by which arms of experiments somebody's questions are answered."""
        return self.experiments.assign(unit_of(user, session), self.beside.opened)

    def live_of(self, assigned: Assigned) -> Live:
        """Return what answers such questions."""
        return self.beside.opened.get(assigned.artifact or "", self.answering).live

    def log_slate(self, slate: Slate, live: Live, user: Id | None, assigned: Assigned) -> None:
        """Have a slate logged as it is served."""
        self.slates.put(
            LoggedSlate(
                id=slate.id,
                timestamp=time.time_ns() // 1_000_000,
                items=slate.items,
                artifact=live.name,
                user=user,
                rung=slate.rung,
                arms=assigned.arms,
            )
        )

    def find(self, query: Query) -> Slate | None:
        """Return the slate that a query got before, under a new id, if that is what would be answered now."""
        by = self.beside.of(query, self.answering)
        kept = by.find(query, by.live.stamp(query.user), self.questions.step())
        (self.metrics.missed if kept is None else self.metrics.kept).inc()
        return None if kept is None else replace(kept, id=new_id(), milliseconds={})

    async def ask(self, query: Query) -> Slate:
        """Answer a query anew, together with others that wait.

        Raises:
            DataError: a filter does not fit the catalogue.
            Refusal: too many wait.
        """
        self.metrics.waiting.set(len(self.questions))
        by = self.beside.of(query, self.answering)
        stamp = by.live.stamp(query.user)
        slate = await self.questions.do(query)
        if self.beside.of(query, self.answering) is by:  # else another one may have answered
            by.keep(query, stamp, slate)
        return slate

    async def record(self, events: Sequence[Event]) -> None:
        """Store events; when it returns they outlast a crash, and what people did counts in this worker.

        Raises:
            StoreError: they could not be stored.
            Refusal: too many wait.
        """
        await self.writing.do(events)
        for event in events:
            self.metrics.events.labels(event.kind).inc()
            if event.slate is not None:
                self.metrics.attributed.labels(event.kind).inc()

    def health(self) -> wire.Health:
        """Return how the server is.

        Raises:
            StoreError: the event store cannot be read.
        """
        live = self.live
        behind = max(self.store.end() - live.offset, 0)
        self.metrics.behind.set(behind)
        return wire.Health(
            status="ok" if behind <= BEHIND and all(thread.is_alive() for thread in self._threads) else "waiting",
            process=os.getpid(),
            artifact=live.name,
            items=len(live.pipeline.dataset.items),
            users=len(live.pipeline.dataset.users),
            offset=live.offset,
            behind=behind,
            trouble=self.trouble,
        )

    def ladder(self) -> wire.Ladder:
        """Return the steps that may answer, and what they cost now."""
        now, by = time.monotonic(), self.answering
        controller = by.controller
        arriving, waiting = controller.rate(now), len(self.questions)
        current = self.questions.step()
        if by.ladder is None:
            return wire.Ladder(arriving=arriving, waiting=waiting)
        rungs = [
            wire.RungState(
                name=step.name,
                quality=step.quality,
                milliseconds=step.seconds * 1000,
                question_milliseconds=controller.seconds(1, step) * 1000,
            )
            for step in controller.steps
        ]
        return wire.Ladder(
            rungs=rungs,
            current=current.name,
            floor=self.settings.quality_floor,
            arriving=arriving,
            waiting=waiting,
        )

    def _answer(
        self, by: Answering, step: Step, queries: Sequence[Query], until: float = math.inf
    ) -> Sequence[Slate | Exception]:
        """Answer queries, each by the artifact that its arm names, at the step of its own ladder with the same name.

        Raises:
            LateError: the time until which any of them is wanted has passed.
        """
        answers: dict[int, Slate | Exception] = {}
        for other, places in self.beside.split(by, queries):
            found = self._answer_by(other, other.own(step), [queries[place] for place in places], until)
            answers |= zip(places, found, strict=True)
            if other is not by:  # what it spent steers nothing, and is not to pile up
                for rungs in {*other.searchers.values(), *(other.ladder or ())}:
                    rungs.take()
        return [answers[place] for place in range(len(queries))]

    def _answer_by(
        self, by: Answering, step: Step, queries: Sequence[Query], until: float
    ) -> Sequence[Slate | Exception]:
        pipeline = by.live.pipeline
        apply_settings(pipeline, step.settings)
        self.metrics.together.observe(len(queries))
        try:
            slates = pipeline.run_many(queries, until=until)
        except LateError:
            raise
        except BaseException as error:
            if len(queries) == 1:
                return [plain(error)]
            # Each alone, so that only the wrong ones fail.
            return [answer for query in queries for answer in self._answer_by(by, step, [query], until)]
        if by.ladder is None:
            return slates
        return [by.signed(slate, query, step) for query, slate in zip(queries, slates, strict=True)]

    def _write(self, batches: Sequence[Sequence[Event]]) -> Sequence[None]:
        self.store.append([event for batch in batches for event in batch])
        self._catch_up()
        return [None] * len(batches)

    def _follow(self) -> None:
        """Read what other workers wrote; now and then unasked, for an artifact that came since the last change."""
        read = 0.0
        while not self._stopped.wait(self.settings.follow_seconds):
            try:
                if self.store.changed() or time.monotonic() - read > LOOK_SECONDS:
                    read = time.monotonic()
                    self._catch_up()
            except StoreError as error:
                self._tell(str(error))
            except Exception:
                log.exception("following the event store failed")
                self._tell("following the event store failed; see the log.")

    def _catch_up(self) -> None:
        for live in (self.live, *self.beside.lives):
            live.follow()

    def _keep(self) -> None:
        """Put new items in, open the artifacts that the link and arms name, and reread the keys."""
        looked = 0.0
        while not self._stopped.is_set():
            try:
                self.live.news.wait(LOOK_SECONDS)
                for live in (self.live, *self.beside.lives):
                    live.put_items()
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    self._swap()
                    self.beside.look()
                    self._reread_keys()
            except Exception:
                log.exception("taking in items failed")
                self._tell("taking in items failed; see the log.")

    def _swap(self) -> None:
        """Let another artifact answer where there is one; if it cannot be opened the present one goes on."""
        folder = self.settings.artifact.resolve()  # the link may change while this one is read
        if (sign := _sign(folder / MANIFEST)) in (self._seen, None):
            return
        self.trouble = None
        try:
            _, answering = self._open(folder)
        except TwofoldError as error:
            self._seen = sign
            self.metrics.swaps.labels("refused").inc()
            self._tell(f"the new artifact was refused: {error}")
            return
        self._seen, self.answering = sign, answering
        self.metrics.swaps.labels("done").inc()
        log.info("artifact %s answers from now on", answering.live.name)

    def _reread_keys(self) -> None:
        """Take in this worker's share, and the file of keys where it changed; if it cannot be read the old go on."""
        if self.keyring is None or self.settings.keys is None:
            return
        self.keyring.share = 1 / told_count()
        if (sign := _sign(self.settings.keys)) == self._known_keys:
            return
        self._known_keys, self.trouble = sign, None
        try:
            self.keyring.take(read_keys(self.settings.keys))
        except ConfigError as error:
            self._tell(f"the keys stay as they were: {error}")

    def _open(self, folder: Path) -> tuple[object, Answering]:
        """Open an artifact, and let it take in all that happened since it was fitted."""
        sign = _sign(folder / MANIFEST)
        pipeline = Pipeline.load(folder)
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        live = Live(
            pipeline,
            self.store,
            after=int(manifest.get("events", 0)),
            name=manifest["sha256"][:12],
            experiments=self.experiments,
        )
        live.catch_up()
        return sign, replace(self._steered(live, folder, manifest["sha256"]), about=manifest)

    def _steered(self, live: Live, folder: Path, sha256: str) -> Answering:
        """Put the cache before the encoders of search texts, and the rungs of a ladder in their places.

        Raises:
            ArtifactError: the ladder that the settings name cannot be used.
        """
        searchers = cache_searches(live.pipeline, live.name, self._vectors)
        steering, named = Steering(floor=self.settings.quality_floor), self.settings.ladder
        place, kept = named or ladder_of(folder), KeptSlates(int(self.settings.slates_mb * 1e6))
        if named or (place / LADDER).is_file():
            # One is left to requests that come meanwhile: threads of one call wait for the slowest of them.
            threads = max(1, available_threads() // self.settings.most_workers - 1)
            try:
                steps, rungs = open_ladder(live.pipeline, sha256, place, threads=threads)
            except TwofoldError as error:
                if named:
                    raise
                self._tell(f"the ladder beside the artifact is not used: {error}")
            else:
                return Answering(live, Controller(steps, steering, now=time.monotonic()), kept, searchers, rungs)
        only = Step(name="", quality=1.0, seconds=0.0)
        return Answering(live, Controller([only], steering, now=time.monotonic()), kept, searchers)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.error("%s", trouble)
        self.trouble = trouble


def check(settings: Settings) -> None:
    """Find what would keep a worker from starting, before any is started.

    Raises:
        ArtifactError: the artifact, or the ladder that the settings name, is missing or damaged.
        StoreError: the event store cannot be opened.
        ConfigError: the keys cannot be read.
    """
    Artifact.open(settings.artifact.resolve())
    if settings.keys is not None:
        read_keys(settings.keys)
    if settings.ladder is not None:
        Ladder.read(settings.ladder, check=False)
    SqlStore(settings.events).close()


def _sign(file: Path) -> object | None:
    """Return what changes when another file is there; None while there is none."""
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_mtime_ns
