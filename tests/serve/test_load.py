"""Load tests: what is sent and when, against tiny servers in this process."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from tests.serve.conftest import serving

from twofold.cli import main
from twofold.core.errors import ConfigError, DataError
from twofold.serve.calls import ApiError
from twofold.serve.keys import add_key
from twofold.serve.load import Asking, Catalogue, Question, Trace, check_format, draw, run_load, write_plot
from twofold.serve.load.sending import send
from twofold.serve.settings import Settings

TEXTS = Catalogue(texts=[f"text {number}" for number in range(50)], users=["ann", 7])
SLATE = b'{"slate":{"picks":[],"id":"x","rung":"small"},"artifact":"a"}'


def moments(trace: Trace, seed: int = 0) -> np.ndarray:
    return trace.moments(np.random.default_rng(seed))


@contextmanager
def answering(answer: Callable[[int], tuple[float, int, bytes]]) -> Iterator[str]:
    """A server that answers the n-th request after some seconds with a status and a body; status 0 cuts it off."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    bound, count = socket.create_server(("127.0.0.1", 0)), iter(range(1_000_000))
    tasks, stopped = set[asyncio.Task[None]](), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.CancelledError, OSError):
            await converse(reader, writer)
        writer.transport.abort()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while (line := await reader.readline()).strip():
                head += line
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            seconds, status, body = answer(next(count))
            await asyncio.sleep(seconds)
            if not status:
                break
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    async def serve() -> None:
        server = await asyncio.start_server(talk, sock=bound)
        started.set()
        await stopped.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close now

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(60)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        bound.close()


def questions(count: int) -> list[Question]:
    return draw(count, TEXTS, Asking(), np.random.default_rng(0))


def test_a_trace_has_the_rate_and_the_spread_that_are_asked_for() -> None:
    for cv in (0.5, 1.0, 4.0):
        found = moments(Trace(rate=1_000, seconds=100, cv=cv))
        gaps = np.diff(found)
        assert len(found) == pytest.approx(100_000, rel=0.01 + 0.01 * cv)
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)
        assert (gaps >= 0).all()
    assert moments(Trace(rate=10, seconds=1, cv=0)) == pytest.approx(np.arange(1, 11) / 10)
    assert moments(Trace(cv=4), 5).tolist() == moments(Trace(cv=4), 5).tolist() != moments(Trace(cv=4), 6).tolist()


def test_shapes_are_as_high_as_their_names_say() -> None:
    """Counts by phase are the integral of the rate."""
    burst = Trace(shape="burst", rate=100, peak=500, seconds=30, burst_seconds=10, cv=0)
    ramp = Trace(shape="ramp", rate=100, peak=400, seconds=30, cv=0)
    day = Trace(shape="diurnal", rate=100, peak=300, seconds=48, cv=0)
    for trace, counts in ((burst, [1_000, 5_000, 1_000]), (ramp, [1_500, 2_500, 3_500])):
        edges = [phase.begin for phase in trace.phases()] + [trace.seconds + 1e-6]
        assert np.histogram(moments(trace), edges)[0] == pytest.approx(counts, abs=2)
    rates = day.rates(np.linspace(0, 48, 1_000))
    assert (rates.min(), rates.max()) == pytest.approx((100, 300), abs=1)
    assert rates.argmin() / 1_000 * 24 == pytest.approx(4, abs=0.1)  # the small hours
    assert day.rates(np.array([0.0])) == pytest.approx(day.rates(np.array([48.0])))


def test_texts_repeat_as_by_zipfs_law_or_not_at_all() -> None:
    once = [json.loads(question.body)["text"] for question in draw(50, TEXTS, Asking(zipf=0), np.random.default_rng(1))]
    assert sorted(once) == sorted(TEXTS.texts)
    drawn = [json.loads(question.body)["text"] for question in draw(20_000, TEXTS, Asking(), np.random.default_rng(1))]
    counts = sorted((drawn.count(text) for text in set(drawn)), reverse=True)
    harmonic = (1 / np.arange(1, 51)).sum()
    assert counts[0] / 20_000 == pytest.approx(1 / harmonic, rel=0.05)
    assert counts[1] / counts[0] == pytest.approx(1 / 2, rel=0.1)


def test_priorities_and_kinds_are_mixed_by_their_shares() -> None:
    asking = Asking(searches=0.25, priorities={"interactive": 3, "batch": 1})
    found = draw(8_000, TEXTS, asking, np.random.default_rng(2))
    bodies = [json.loads(question.body) for question in found]
    assert np.mean([question.path == "/search" for question in found]) == pytest.approx(0.25, abs=0.02)
    assert np.mean([body["priority"] == "batch" for body in bodies]) == pytest.approx(0.25, abs=0.02)
    assert {body["deadline_ms"] for body in bodies} == {100.0, 60_000.0}
    assert {body["user"] for body in bodies if "user" in body} == {"ann", 7}


def test_questions_go_out_when_they_are_due_however_slow_the_answers_are() -> None:
    due = np.arange(40) * 0.01
    with answering(lambda _: (0.5, 200, SLATE)) as url:
        answers = send(url, None, questions(40), due, patience=30)
    assert np.nanmax(answers.sent - answers.due) < 0.3  # the first answer comes after the last question
    assert (answers.answered - answers.due >= 0.5).all()
    assert set(answers.rungs) == {"small"}


def test_latency_is_counted_from_when_a_question_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection, and a server that is stuck once: all who would have asked meanwhile have waited, too."""
    monkeypatch.setattr("twofold.serve.load.sending.CONNECTIONS", 1)
    due = np.arange(20) * 0.02
    with answering(lambda place: (0.6 if place == 0 else 0.0, 200, SLATE)) as url:
        answers = send(url, None, questions(20), due, patience=30)
    waited = answers.answered - answers.due
    assert waited == pytest.approx(0.6 - due, abs=0.25)
    assert (waited > 0.15).all()
    assert np.median(answers.answered - answers.sent) < 0.1  # what a closed loop would have told


def test_what_is_refused_fails_or_is_cut_off_is_told_apart() -> None:
    refusal = b'{"title":"t","status":429,"detail":"too much; later"}'
    replies = [(0.0, 200, SLATE), (0.0, 429, refusal), (0.0, 500, b"?"), (0.0, 0, b""), (5.0, 200, SLATE)]
    trace = Trace(rate=10, seconds=0.5, cv=0)
    with answering(lambda place: replies[place]) as url:
        answers = send(url, None, questions(5), moments(trace), patience=0.5)
    assert answers.status.tolist() == [200, 429, 0, 0, 0]
    assert np.isnan(answers.answered).tolist() == [False, True, True, True, True]
    assert answers.problems == {
        "429: too much": 1,
        "failed: an answer that is none of this version": 1,
        "failed: the connection was cut": 1,
        "failed: no answer while it was waited for": 1,
    }


def test_a_server_that_goes_away_ends_the_trace_and_not_the_sender() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    answers = send(url, None, questions(3), np.arange(3) * 0.01, patience=5)
    assert answers.status.tolist() == [0, 0, 0]
    assert sum(answers.problems.values()) == 3


def test_a_report_on_a_real_server(settings: Settings, tmp_path: Path) -> None:
    trace = Trace(shape="burst", rate=15, peak=45, seconds=3, burst_seconds=1)
    asking = Asking(
        searches=0.7,
        priorities={"interactive": 0.5, "standard": 0.5},
        deadlines={"interactive": 30_000.0, "standard": 30_000.0, "batch": 60_000.0},
    )
    with serving(settings) as url:
        report = run_load(url, trace, Catalogue.read(settings.artifact), asking)
    groups = report.groups()
    assert list(groups) == ["all", "before", "burst", "after", "interactive", "standard"]
    everything = groups["all"]
    assert everything.sent == len(report.questions) == sum(groups[name].sent for name in ("before", "burst", "after"))
    assert everything.in_time == everything.of_admitted == everything.quality == everything.effective == 1.0
    assert everything.goodput == pytest.approx(everything.sent / 3)
    assert 0 < everything.p50 <= everything.p99 <= everything.p999 < 30_000
    assert everything.rungs == {"none": 1.0}
    assert report.processor is not None
    assert json.loads(json.dumps(report.as_dict()))["groups"]["burst"]["sent"] == groups["burst"].sent
    for name in ("load.svg", "load.png"):
        write_plot(tmp_path / name, report)
        assert (tmp_path / name).stat().st_size > 5_000


def test_the_verb_prints_a_table_and_draws(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "plots" / "load.svg"
    with serving(settings) as url:
        options = ["--seconds", "1", "--trace", "ramp", "--deadline-ms", "60000", "--plot", str(plot)]
        monkeypatch.setattr("sys.argv", ["twofold", "load", url, "-a", str(settings.artifact), *options])
        with pytest.raises(SystemExit) as ended:
            main()
    out = capfd.readouterr().out
    assert ended.value.code == 0
    assert {"low", "middle", "high", "1.000"} <= set(out.split())
    assert "ms of a core a question" in out
    assert plot.stat().st_size > 5_000


def test_late_answers_have_no_effective_quality(settings: Settings) -> None:
    asking = Asking(deadlines={"interactive": 600_000.0, "standard": 1.0, "batch": 1.0})
    with serving(settings) as url:
        report = run_load(url, Trace(seconds=1), Catalogue.read(settings.artifact), asking)
    assert report.groups()["all"].effective == 1.0
    report.answers.answered[::2] += 1_000
    found = report.groups()["all"]
    assert found.late == pytest.approx(0.5, abs=0.05)
    assert found.effective == found.in_time == 1 - found.late
    assert found.quality == 1.0


def test_mistakes_are_told_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with pytest.raises(ApiError, match="check that the server runs there"):
        run_load(url, Trace(), TEXTS)
    key = add_key(tmp_path / "keys.json", "shop", "read", 1_000)
    keyed = Settings(artifact=settings.artifact, events=settings.events, keys=tmp_path / "keys.json")
    with serving(keyed) as url:
        with pytest.raises(ApiError, match="no valid API key"):
            run_load(url, Trace(), TEXTS, key="wrong")
        report = run_load(url, Trace(seconds=0.5), TEXTS, Asking(deadlines={"interactive": 60_000.0}), key=key)
    assert report.groups()["all"].in_time == 1.0
    assert report.hit_rates == {}  # only an admin may know
    with pytest.raises(ConfigError, match="give --queries or --artifact"):
        run_load(url, Trace(), Catalogue())
    with pytest.raises(ConfigError, match="no address"):
        send("nowhere", None, [], np.zeros(0), patience=1)
    with pytest.raises(ConfigError, match=r"neither .svg nor .png"):
        check_format(tmp_path / "load.gif")
    (tmp_path / "empty.txt").write_text("\n \n")
    for name, message in (("empty.txt", "holds no text"), ("missing.txt", "cannot be read")):
        with pytest.raises(DataError, match=message):
            Catalogue.read(queries=tmp_path / name)
    for wrong in ({"shape": "wave"}, {"rate": 0}, {"cv": -1}, {"shape": "burst", "burst_seconds": 90}, {"rate": 1e6}):
        with pytest.raises(ConfigError, match=r"mend that|did you mean|at most|known"):
            Trace(**wrong)
    for odd in ({"zipf": -1}, {"priorities": {"urgent": 1}}, {"priorities": {"batch": 0}}):
        with pytest.raises(ConfigError, match="mend that"):
            Asking(**odd)


def test_asking_costs_little_of_a_core() -> None:
    due = np.arange(600) * 0.002
    with answering(lambda _: (0.0, 200, SLATE)) as url:
        begun = time.thread_time()
        answers = send(url, None, questions(600), due, patience=30)
        spent = time.thread_time() - begun  # of the sender alone
    assert (answers.status == 200).all()
    assert spent / 600 < 0.002
