"""The scheduler beside APScheduler 3, in one run.

    python benchmarks/bench_schedule.py [--rounds 3] [--peers PYTHON] [--json FILE]

For APScheduler: `benchmarks/run` installs it, or

    python -m venv /tmp/peers && /tmp/peers/bin/pip install "apscheduler<4"
    python benchmarks/bench_schedule.py --peers /tmp/peers/bin/python

Dispatch: 100 jobs every 200 ms for some seconds; CPU time of the process per run, the function itself doing nothing.
Lateness: 1,000 jobs every 4 s, all due at one instant, then spread over the interval; due time to first line, milliseconds.
Memory: growth of the process by 5,000 registered jobs, started, kilobytes each. Import: time over that of an empty
program, and modules loaded. rota writes two rows per run to its store; APScheduler is measured with its memory store, which
keeps no history.
"""

from __future__ import annotations

import asyncio
import gc
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

FIGURES = {
    "CPU µs/run": "{:,.0f}",
    "late p50 ms, at once": "{:,.1f}",
    "late p99 ms, at once": "{:,.1f}",
    "late p50 ms, spread": "{:,.2f}",
    "late p99 ms, spread": "{:,.2f}",
    "runs lost": "{:,.0f}",
    "kB/job": "{:,.1f}",
    "import ms": "{:,.0f}",
    "modules": "{:,.0f}",
}


class Subject(Protocol):
    """A scheduler under test. `add` registers a job of this interval, first due `phase` seconds after a whole one."""

    def add(self, call: Callable[[float], None], every: float, phase: float, name: str) -> None: ...

    def running(self) -> Any: ...


class Rota:
    """rota in background threads."""

    def __init__(self, url: str) -> None:
        from rota import Scheduler

        self._rota = Scheduler(url, name="bench")

    def add(self, call: Callable[[float], None], every: float, phase: float, name: str) -> None:
        def work(run: Run) -> None:
            assert run.due is not None
            call(run.due.timestamp())

        if phase:
            # Its offset comes from a hash; the cron expression with seconds names the instants instead.
            self._rota.cron(f"{int(phase)}/{int(every)} * * * * *", work, name=name)
            return
        self._rota.every(every, work, name=name)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._rota:
            yield


class APScheduler:
    """APScheduler 3 in a background thread, with its default pool of ten threads."""

    def __init__(self) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-not-found]

        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = BackgroundScheduler(timezone="UTC")

    def add(self, call: Callable[[float], None], every: float, phase: float, name: str) -> None:
        start = datetime.now(UTC).timestamp()
        start = start - start % every + every + phase

        def work() -> None:
            # It does not tell a job what it was due; the last due time is.
            now = time.time()
            call(now - (now - start) % every)

        begin = datetime.fromtimestamp(start, UTC)
        self._scheduler.add_job(work, "interval", seconds=every, start_date=begin, id=name)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._scheduler.start()
        yield
        self._scheduler.shutdown()


class AsyncAPScheduler(APScheduler):
    """APScheduler 3 on an event loop."""

    def __init__(self) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        super().__init__()
        self._scheduler = AsyncIOScheduler(timezone="UTC")


def dispatch(make: Callable[[], Subject], rest: Callable[[float], None]) -> dict[str, float]:
    subject, runs = make(), [0]

    def call(due: float) -> None:
        runs[0] += 1

    for n in range(100):
        subject.add(call, 0.2, 0.0, f"job {n}")
    with subject.running():
        rest(1.0)
        began, before = time.process_time(), runs[0]
        rest(4.0)
        used, ran = time.process_time() - began, runs[0] - before
    return {"CPU µs/run": used / max(ran, 1) * 1e6}


def lateness(make: Callable[[], Subject], rest: Callable[[float], None], spread: bool) -> dict[str, float]:
    subject, late = make(), list[float]()

    def call(due: float) -> None:
        late.append((time.time() - due) * 1000)

    for n in range(1000):
        # Whole seconds: both can be told of them exactly.
        subject.add(call, 4.0, float(n % 4) if spread else 0.0, f"job {n}")
    with subject.running():
        rest(4.2 - time.time() % 4.0 + (4.0 if spread else 0.0))
        late.clear()
        began = time.time()
        rest(12.0)
        expected = 1000 * 3
    late = [each for each in late if each < (time.time() - began) * 1000]
    how = "spread" if spread else "at once"
    cuts = statistics.quantiles(late, n=100) if len(late) > 1 else [float("nan")] * 99
    return {
        f"late p50 ms, {how}": cuts[49],
        f"late p99 ms, {how}": cuts[98],
        "runs lost": max(0, expected - len(late)),
    }


def memory(make: Callable[[], Subject], rest: Callable[[float], None]) -> dict[str, float]:
    subject = make()
    for n in range(10):
        subject.add(lambda due: None, 86400.0, 0.0, f"warm {n}")
    gc.collect()
    before = resident()
    for n in range(5000):
        subject.add(lambda due: None, 86400.0, 0.0, f"job {n}")
    with subject.running():
        rest(3.0)
        gc.collect()
        after = resident()
    return {"kB/job": (after - before) / 5000}


def resident() -> int:
    """Kilobytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def imports(statement: str) -> dict[str, float]:
    code = f"import sys; n = len(sys.modules)\n{statement}\nprint(len(sys.modules) - n)"
    best, modules = float("inf"), 0
    for _ in range(7):
        began = time.perf_counter()
        modules = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        spent = time.perf_counter() - began
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        best = min(best, spent - (time.perf_counter() - began))
    return {"import ms": max(0.0, best * 1000), "modules": modules}


def all_of(make: Callable[[], Subject], statement: str, rest: Callable[[float], None] = time.sleep) -> dict[str, float]:
    found = dispatch(make, rest) | memory(make, rest) | imports(statement)
    at_once, spread = lateness(make, rest, False), lateness(make, rest, True)
    lost = at_once.pop("runs lost") + spread.pop("runs lost")
    return found | at_once | spread | {"runs lost": lost}


def rota_memory() -> dict[str, float]:
    return all_of(lambda: Rota("memory://"), "from rota import Scheduler")


def rota_sqlite() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        count = iter(range(1000))
        return all_of(lambda: Rota(f"sqlite:///{place}/{next(count)}.db"), "from rota import Scheduler")


def apscheduler() -> dict[str, float]:
    return all_of(APScheduler, "from apscheduler.schedulers.background import BackgroundScheduler")


def apscheduler_asyncio() -> dict[str, float]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    class Inside(AsyncAPScheduler):
        @contextmanager
        def running(self) -> Iterator[None]:
            async def start() -> None:
                self._scheduler.start()

            loop.run_until_complete(start())
            yield
            self._scheduler.shutdown()

    def rest(seconds: float) -> None:
        loop.run_until_complete(asyncio.sleep(seconds))

    return all_of(Inside, "from apscheduler.schedulers.asyncio import AsyncIOScheduler", rest)


def bare() -> dict[str, float]:
    return imports("import rota")


CONTENDERS: dict[str, Callable[[], dict[str, float]]] = {
    "rota, memory": rota_memory,
    "rota, SQLite": rota_sqlite,
    "rota, only `import rota`": bare,
    "APScheduler 3, background": apscheduler,
    "APScheduler 3, asyncio": apscheduler_asyncio,
}


def main() -> int:
    options = parser(__doc__.splitlines()[0] if __doc__ else "").parse_args()
    logging.disable(logging.WARNING)
    if options.contender:
        return alone(CONTENDERS[options.contender])
    print(heading(options.peers, ("apscheduler",)), end="\n\n")
    names = {name: name.startswith("rota") for name in CONTENDERS}
    found = in_turn(__file__, names, options.peers, options.rounds, frozenset())
    print(table("", found, FIGURES))
    save(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
