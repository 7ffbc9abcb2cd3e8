"""Progress, its bar, batches, checkpoints, and scripts that are a run."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota import Run, Scheduler, this_run
from rota.errors import SpecError
from rota.schedule.checkpoints import Checkpoint
from rota.schedule.progress import Progress
from rota.schedule.terminal import Bar, BarHandler
from rota.stores.memory import MemoryStore
from rota.stores.records import Claim, Claimed, Ending, Worker
from rota.stores.sqlite import SqliteStore
from rota.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

from rota.jobs.run import Outcome


@pytest.mark.parametrize(
    ("progress", "rate", "eta"),
    [
        (Progress(0, 500), None, None),
        (Progress(100, 500, elapsed=10), 10.0, 40.0),
        (Progress(300, 500, resumed_from=200, elapsed=10), 10.0, 20.0),
        (Progress(100, None, elapsed=10), 10.0, None),
        (Progress(600, 500, elapsed=10), 60.0, 0.0),
    ],
)
def test_rate_and_time_left(progress: Progress, rate: float | None, eta: float | None) -> None:
    assert (progress.rate, progress.eta) == (rate, eta)


@given(
    done=st.integers(0, 10**9), total=st.none() | st.integers(0, 10**9), elapsed=st.floats(0, 1e7), width=st.integers(10, 200),
    name=st.text("abc", min_size=1, max_size=30),
)  # fmt: skip
def test_a_line_fits_the_terminal(done: int, total: int | None, elapsed: float, width: int, name: str) -> None:
    assert len(Progress(done, total, 0, elapsed).line(name, width)) <= width


def test_a_line_shows_bar_counts_rate_and_time_left() -> None:
    line = Progress(250, 500, elapsed=5).line("sweep", 60)
    assert line == "sweep  [##############.............]  250/500  50/s  5s left"


def test_the_bar_is_drawn_seldom_and_cleared() -> None:
    clock, stream = FakeClock(), io.StringIO()
    bar = Bar(clock, stream)
    bar.show(1, "sweep", Progress(1, 3, elapsed=1))
    bar.show(1, "sweep", Progress(2, 3, elapsed=2))
    assert "2/3" not in stream.getvalue()
    clock.advance(0.2)
    bar.show(1, "sweep", Progress(2, 3, elapsed=2))
    bar.show(1, "sweep", Progress(3, 3, elapsed=2))
    assert "2/3" in stream.getvalue()
    assert "3/3" in stream.getvalue()
    bar.clear(2)
    assert not stream.getvalue().endswith("\x1b[2K")
    bar.clear(1)
    assert stream.getvalue().endswith("\x1b[2K")


def test_log_lines_stand_above_the_bar() -> None:
    stream = io.StringIO()
    bar = Bar(FakeClock(), stream)
    bar.show(1, "sweep", Progress(1, 3, elapsed=1))
    drawn = stream.getvalue()
    BarHandler(bar).emit(logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None))
    assert stream.getvalue() == f"{drawn}\r\x1b[2Khello\n{drawn}"


class Reporter:
    def __init__(self, resume: int = 0) -> None:
        self.said: list[tuple[int, int | None, int]] = []
        self._resume = resume

    def progress(self, done: int, total: int | None, resumed_from: int) -> None:
        self.said.append((done, total, resumed_from))

    def resume_point(self) -> int:
        return self._resume

    def monotonic(self) -> float:
        return 0.0


def a_run(reporter: Reporter) -> Run:
    return Run(id=1, job="j", due=None, attempt=1, trigger="manual", fence=1, reporter=reporter)


async def counted(n: int) -> AsyncIterator[int]:
    for each in range(n):
        yield each


@given(n=st.integers(0, 60), size=st.integers(1, 20), resume=st.integers(0, 70))
def test_batches_cover_every_item_once_in_order(n: int, size: int, resume: int) -> None:
    reporter, from_async = Reporter(resume), Reporter(resume)
    batches = list(a_run(reporter).batches(range(n), size=size, resume=True))

    async def gather() -> list[list[int]]:
        return [batch async for batch in a_run(from_async).batches(counted(n), size=size, resume=True, total=n)]

    assert asyncio.run(gather()) == batches
    assert [item for batch in batches for item in batch] == list(range(min(resume, n), n))
    assert all(len(batch) == size for batch in batches[:-1])
    assert reporter.said == from_async.said
    assert reporter.said[-1][0] == max(n, min(resume, n)) or resume > n


def test_a_batch_is_confirmed_when_the_next_is_asked_for() -> None:
    reporter = Reporter()
    batches = iter(a_run(reporter).batches(range(100), size=40))
    next(batches)
    assert reporter.said == [(0, 100, 0)]
    next(batches)
    assert reporter.said[-1] == (40, 100, 0)


def test_without_a_length_the_end_tells_the_total() -> None:
    reporter = Reporter()
    list(a_run(reporter).batches(iter(range(7)), size=5))
    assert reporter.said == [(0, None, 0), (5, None, 0), (7, None, 0), (7, 7, 0)]


def test_batches_make_sense() -> None:
    with pytest.raises(SpecError, match="no batch"):
        a_run(Reporter()).batches([1], size=0)
    with pytest.raises(TypeError, match="async for"):
        list(a_run(Reporter()).batches(counted(3)))


def test_a_checkpoint_is_saved_and_read() -> None:
    clock, store = FakeClock(), MemoryStore()
    rota = Scheduler(store, name="shop", clock=clock)
    point = rota.checkpoint("treasury", chain="eth", stale_after="1h")
    assert point.load() is None
    assert point.get("cursor", "none") == "none"
    point.save(last_block=10, records_total=3, cursor="a")
    asyncio.run(rota.checkpoint("treasury", chain="eth").asave(last_block=11, note=None))
    assert (point.get("last_block"), point.get("records_total"), point.get("cursor")) == (11, 3, "a")
    record = point.load()
    assert record is not None
    assert (record.app, record.stale_after, record.updated_at) == ("shop", 3600.0, clock.now())
    assert point.clear()
    assert not point.clear()
    with pytest.raises(SpecError, match="needs a source"):
        Checkpoint("")


@pytest.fixture
def no_run() -> Iterator[None]:
    this_run.cache_clear()
    yield
    this_run.cache_clear()


def test_a_script_under_the_daemon_is_its_run(no_run: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "rota.db")
    claims: list[Any] = []
    for due in (1.0, 2.0):
        claims.append(store.claim(Claim(app="", job="sweep", worker=Worker("d"), now=due, lease_until=None, due=due)))
        if due == 1.0:
            assert store.progress(claims[0].id, claims[0].fence, 20, 100, 1.0)
            store.finish(claims[0].id, claims[0].fence, Ending(outcome=Outcome.FAILED, finished=1.5))
    assert isinstance(claims[1], Claimed)
    monkeypatch.setenv("ROTA_DB", str(tmp_path / "rota.db"))
    monkeypatch.setenv("ROTA_RUN_ID", str(claims[1].id))

    assert (this_run().job, this_run().trigger) == ("sweep", "cron")
    batches = list(this_run().batches(range(100), size=50, resume=True))

    assert batches[0][0] == 20
    record = store.run(claims[1].id)
    assert record is not None
    assert (record.done, record.total, record.resumed_from) == (100, 100, 20)
    from rota.stores.opening import open_store

    open_store(f"sqlite:///{tmp_path}/rota.db").close()
    store.close()


@pytest.mark.parametrize("environ", [{}, {"ROTA_RUN_ID": "5"}, {"ROTA_RUN_ID": "5", "ROTA_DB": "/nowhere/rota.db"}])
def test_a_script_by_hand_works_too(
    no_run: None, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ROTA_DB", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if "ROTA_DB" in environ:
        monkeypatch.setenv("ROTA_DB", "/proc/nowhere/rota.db")
    assert [len(batch) for batch in this_run().batches(range(5), size=2)] == [2, 2, 1]
    said = capsys.readouterr().err
    assert ("progress will not be seen" in said) == ("ROTA_DB" in environ)
