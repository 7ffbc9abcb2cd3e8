"""The scheduler beside APScheduler 3, in one run of about two minutes.

    python benchmarks/bench_schedule.py [--rounds 1] [--peers PYTHON] [--json FILE]

For APScheduler: `benchmarks/run` installs it, or

    python -m venv /tmp/peers && /tmp/peers/bin/pip install "apscheduler<4"
    python benchmarks/bench_schedule.py --peers /tmp/peers/bin/python

Dispatch: 100 jobs every 200 ms for some seconds; CPU time of the process per run, the function itself doing nothing.
Lateness: 1,000 jobs every 3 s, all due at one instant, then every 3 to 4 s, each at its own instants; due time to first line.
Lost: due times of these without a run. Memory: growth of the process by 5,000 registered jobs, started. Import: time over that
of an empty program, and modules loaded. rota keeps two rows per run; APScheduler, with its memory store, keeps no history.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from contenders import alone, heading, in_turn, parser, save, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota import Run

JOBS, INTERVAL, REGISTERED = 1000, 3.0, 5000
FIGURES = {
    "CPU µs/run": "{:,.0f}",
    "late p50 ms, at once": "{:,.1f}",
    "p99, at once": "{:,.1f}",
    "late p50 ms, spread": "{:,.2f}",
    "p99, spread": "{:,.2f}",
    "runs lost": "{:,.0f}",
    "kB/job": "{:,.1f}",
    "import ms": "{:,.0f}",
    "modules": "{:,.0f}",
}


class Subject(Protocol):
    """A scheduler under test; its jobs are due at the whole multiples of their interval."""

    def add(self, call: Callable[[float], None], every: float, name: str) -> None: ...

    def running(self) -> Any:
        """A context in which it runs."""

    def rest(self, seconds: float) -> None:
        """Let it work."""


class Threaded:
    """In background threads."""

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)


class OnLoop:
    """On an event loop."""

    def __init__(self, *args: str) -> None:
        self._loop = asyncio.new_event_loop()
        super().__init__(*args)

    def rest(self, seconds: float) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))


class Rota(Threaded):
    """rota, plain functions."""

    def __init__(self, url: str) -> None:
        from rota import Scheduler

        self._rota = Scheduler(url, name="bench")

    def add(self, call: Callable[[float], None], every: float, name: str) -> None:
        def work(run: Run) -> None:
            assert run.due is not None
            call(run.due.timestamp())

        self._rota.every(every, work, name=name)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._rota:
            yield


class AsyncRota(OnLoop, Rota):
    """rota, coroutine functions."""

    def add(self, call: Callable[[float], None], every: float, name: str) -> None:
        async def work(run: Run) -> None:
            assert run.due is not None
            call(run.due.timestamp())

        self._rota.every(every, work, name=name)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._loop.run_until_complete(self._rota.__aenter__())
        yield
        self._loop.run_until_complete(self._rota.__aexit__())


class APScheduler(Threaded):
    """APScheduler 3 in a background thread, with its default pool of ten threads."""

    def __init__(self) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-not-found]

        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = BackgroundScheduler(timezone="UTC")

    def add(self, call: Callable[[float], None], every: float, name: str) -> None:
        def work() -> None:
            # It does not tell a job what it was due; the last multiple of the interval is.
            now = time.time()
            call(now - now % every)

        self._add(work, every, name)

    def _add(self, work: Callable[[], Any], every: float, name: str) -> None:
        now = time.time()
        first = datetime.fromtimestamp(now - now % every + every, UTC)
        self._scheduler.add_job(work, "interval", seconds=every, start_date=first, id=name)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._scheduler.start()
        yield
        self._scheduler.shutdown()


class AsyncAPScheduler(OnLoop, APScheduler):
    """APScheduler 3 on an event loop."""

    def __init__(self) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        super().__init__()
        self._scheduler = AsyncIOScheduler(timezone="UTC", event_loop=self._loop)

    def add(self, call: Callable[[float], None], every: float, name: str) -> None:
        async def work() -> None:
            now = time.time()
            call(now - now % every)

        self._add(work, every, name)


def dispatch(subject: Subject) -> dict[str, float]:
    runs = [0]

    def call(due: float) -> None:
        runs[0] += 1

    for n in range(100):
        subject.add(call, 0.2, f"job {n}")
    with subject.running():
        subject.rest(1.0)
        began, before = time.process_time(), runs[0]
        subject.rest(3.0)
        used, ran = time.process_time() - began, runs[0] - before
    return {"CPU µs/run": used / max(ran, 1) * 1e6}


def lateness(subject: Subject, spread: bool) -> dict[str, float]:
    found: list[tuple[float, float]] = []
    intervals = [INTERVAL + (n / JOBS if spread else 0.0) for n in range(JOBS)]
    for n, every in enumerate(intervals):
        subject.add(lambda due: found.append((due, time.time())), every, f"job {n}")
    with subject.running():
        subject.rest(1.0)  # what it does at the start is not what is asked
        if not spread:
            subject.rest(0.5 + INTERVAL - time.time() % INTERVAL)
        begin, end = time.time(), time.time() + 2 * INTERVAL
        subject.rest(2 * INTERVAL + 1.0)  # for the latest of the last
    counted = [(at - due) * 1000 for due, at in found if begin <= due < end]
    expected = sum(int(end // every) - int(begin // every) for every in intervals)
    how = "spread" if spread else "at once"
    cuts = statistics.quantiles(counted, n=100) if len(counted) > 1 else [float("inf")] * 99
    return {f"late p50 ms, {how}": cuts[49], f"p99, {how}": cuts[98], "runs lost": max(0, expected - len(counted))}


def memory(subject: Subject) -> dict[str, float]:
    for n in range(10):
        subject.add(lambda due: None, 86400.0, f"warm {n}")
    gc.collect()
    before = resident()
    for n in range(REGISTERED):
        subject.add(lambda due: None, 86400.0, f"job {n}")
    with subject.running():
        subject.rest(3.0)
        gc.collect()
        after = resident()
    return {"kB/job": (after - before) / REGISTERED}


def resident() -> int:
    """Kilobytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def imports(statement: str) -> dict[str, float]:
    code = f"import sys; n = len(sys.modules)\n{statement}\nprint(len(sys.modules) - n)"
    best, modules = float("inf"), 0
    for _ in range(5):
        began = time.perf_counter()
        modules = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        spent = time.perf_counter() - began
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        best = min(best, spent - (time.perf_counter() - began))
    return {"import ms": max(0.0, best * 1000), "modules": modules}


def at_work(make: Callable[[], Subject]) -> dict[str, float]:
    at_once, spread = lateness(make(), False), lateness(make(), True)
    lost = at_once.pop("runs lost") + spread.pop("runs lost")
    return dispatch(make()) | at_once | spread | {"runs lost": lost}


def rota_memory() -> dict[str, float]:
    def make() -> Subject:
        return Rota("memory://")

    return memory(make()) | at_work(make) | imports("from rota import Scheduler")


def rota_sqlite() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        count = itertools.count()
        return at_work(lambda: Rota(f"sqlite:///{place}/{next(count)}.db"))


def rota_asyncio() -> dict[str, float]:
    return at_work(lambda: AsyncRota("memory://"))


def apscheduler() -> dict[str, float]:
    found = memory(APScheduler()) | at_work(APScheduler)
    return found | imports("from apscheduler.schedulers.background import BackgroundScheduler")


def apscheduler_asyncio() -> dict[str, float]:
    return at_work(AsyncAPScheduler) | imports("from apscheduler.schedulers.asyncio import AsyncIOScheduler")


CONTENDERS: dict[str, Callable[[], dict[str, float]]] = {
    "`import rota` alone": lambda: imports("import rota"),
    "rota, memory": rota_memory,
    "rota, SQLite": rota_sqlite,
    "rota, asyncio, memory": rota_asyncio,
    "APScheduler 3, background": apscheduler,
    "APScheduler 3, asyncio": apscheduler_asyncio,
}


def main() -> int:
    options_of = parser(__doc__.splitlines()[0] if __doc__ else "")
    options_of.set_defaults(rounds=1)
    options = options_of.parse_args()
    logging.disable(logging.WARNING)
    if options.contender:
        return alone(CONTENDERS[options.contender])
    print(heading(options.peers, ("apscheduler",)), end="\n\n")
    names = {name: not name.startswith("APScheduler") for name in CONTENDERS}
    found = in_turn(__file__, names, options.peers, options.rounds)
    print(table("", found, FIGURES))
    save(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
