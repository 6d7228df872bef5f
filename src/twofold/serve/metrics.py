"""What Prometheus is told: requests, events, and how far answers are behind."""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

__all__ = ["Metrics", "tell_count", "told_count"]

MANY = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which the workers of one server add up; set by `run_server` where there are several."""
COUNT = "workers"
"""The file in that folder that says how many workers answer."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def tell_count(workers: int) -> None:
    """Say to all workers how many they are."""
    place = Path(os.environ[MANY]) / COUNT
    place.with_suffix(".new").write_text(str(workers), encoding="ascii")
    place.with_suffix(".new").replace(place)


def told_count() -> int:
    """Return how many workers answer, this one included."""
    folder = os.environ.get(MANY)
    try:
        return int((Path(folder) / COUNT).read_text(encoding="ascii")) if folder else 1
    except (OSError, ValueError):
        return 1


class Metrics:
    """The counters of one worker."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "twofold_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "twofold_request_seconds", "From the first byte to the last.", ["route"], buckets=SECONDS, registry=registry
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.events = Counter("twofold_events", "Events stored for the first time.", ["kind"], registry=registry)
        self.attributed = Counter(
            "twofold_attributed_events", "Events that name the slate they answer.", ["kind"], registry=registry
        )
        self.together = Histogram(
            "twofold_questions_together",
            "Questions answered in one go.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.waiting = Gauge(
            "twofold_questions_waiting", "Questions that wait.", registry=registry, multiprocess_mode="livesum"
        )
        self.waited = Histogram(
            "twofold_question_wait_seconds",
            "From a question's arrival to its turn.",
            ["priority"],
            buckets=SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "twofold_questions_refused",
            "Questions that could not be answered in time.",
            ["priority"],
            registry=registry,
        )
        self.dropped = Counter(
            "twofold_questions_dropped", "Questions whose caller hung up before their turn.", registry=registry
        )
        self.rungs = Counter("twofold_answers_by_rung", "Questions answered by each rung.", ["rung"], registry=registry)
        self.steps = Counter("twofold_ladder_steps", "Steps on the ladder.", ["direction"], registry=registry)
        self.vectors = Counter(
            "twofold_query_vectors", "Search texts whose vector was kept, or not.", ["cache"], registry=registry
        )
        slates = Counter(
            "twofold_question_slates", "Questions whose slate was kept, or not.", ["cache"], registry=registry
        )
        self.kept, self.missed = slates.labels("hit"), slates.labels("miss")
        self.behind = Gauge(
            "twofold_events_behind", "Stored events unknown yet.", registry=registry, multiprocess_mode="livemax"
        )
        self.logged = Counter("twofold_slates_logged", "Slates that were logged.", registry=registry)
        self.lost = Counter("twofold_slates_lost", "Slates that were to be logged and could not be.", registry=registry)
        self.swaps = Counter("twofold_artifact_swaps", "Artifacts put in place.", ["result"], registry=registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request, which took so long."""
        key = (route, method, status)
        if key not in self._answered:  # to look labels up takes longer than to count
            self._answered[key] = self._requests.labels(*key), self._seconds.labels(route)
        count, took = self._answered[key]
        count.inc()
        took.observe(seconds)

    def text(self) -> bytes:
        """Return all figures, those of all workers, in the text format of Prometheus."""
        if MANY not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
