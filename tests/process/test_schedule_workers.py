"""Many workers, one store: each due time starts once, whoever dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from rota.jobs.run import Outcome, RunState
from rota.stores.sqlite import SqliteStore
from tests.eventually import eventually
from tests.process.conftest import CHILDREN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rota.stores.records import RunRecord
    from tests.process.conftest import Spawn


LONG = "ROTA_LONG" in os.environ
JOBS, INTERVAL = 20, 0.1
SECONDS = 60 if LONG else 6


class Workers:
    """A crowd of workers over one database."""

    def __init__(self, spawn: Spawn, folder: Path) -> None:
        self._spawn = spawn
        self.database, self.log = folder / "rota.db", folder / "log"
        self.store = SqliteStore(self.database)
        self.live: list[subprocess.Popen[bytes]] = []
        self.killed: set[int] = set()

    def add(self) -> None:
        command = (sys.executable, str(CHILDREN / "schedule_worker.py"), str(self.database), str(self.log))
        self.live.append(self._spawn(*command, str(JOBS), str(INTERVAL), stderr=subprocess.DEVNULL))

    def kill_one(self, generator: random.Random) -> None:
        victim = self.live.pop(generator.randrange(len(self.live)))
        victim.kill()
        victim.wait()
        self.killed.add(victim.pid)

    def stop(self) -> None:
        # One that has just been started does not know of signals yet.
        eventually(lambda: {worker.pid for worker in self.live} <= {beat.pid for beat in self.store.heartbeats()})
        for worker in self.live:
            worker.send_signal(signal.SIGTERM)
        for worker in self.live:
            assert worker.wait(timeout=30) == 0

    def starts(self) -> list[tuple[str, float, int]]:
        lines = self.log.read_text().splitlines()
        return [(job, float(due), int(fence)) for job, due, fence, _ in (line.split() for line in lines)]

    def runs(self) -> list[RunRecord]:
        return self.store.runs("shop", limit=1_000_000)

    def unfinished(self) -> list[RunRecord]:
        return self.store.runs("shop", unfinished=True, limit=1_000_000)


@pytest.fixture
def crowd(spawn: Spawn, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(spawn, tmp_path)
    yield workers
    workers.store.close()


def check_none_twice_none_lost(workers: Workers) -> int:
    starts, runs = workers.starts(), workers.runs()
    twice = {key: n for key, n in Counter((job, due) for job, due, _ in starts).items() if n > 1}
    assert twice == {}, "started twice"

    by_due = {(run.job, round(run.due, 6)): run for run in runs if run.due is not None}
    assert len(by_due) == len([run for run in runs if run.due is not None])
    for job, due, fence in starts:
        assert by_due[job, round(due, 6)].fence == fence
    started = {(job, round(due, 6)) for job, due, _ in starts}
    for key, run in by_due.items():
        assert run.state is RunState.FINISHED
        if run.outcome is Outcome.OK:
            assert key in started
        elif key in started:
            # Killed at work, or stopped at the end.
            assert run.outcome in (Outcome.ABANDONED, Outcome.CANCELLED)

    covered = 0
    for n in range(JOBS):
        dues = sorted(due for job, due in by_due if job == f"job-{n}")
        summed = sum(int(run.note.split()[0]) - 1 for run in runs if run.job == f"job-{n}" and "due times" in run.note)
        assert round((dues[-1] - dues[0]) / INTERVAL) + 1 == len(dues) + summed, f"job-{n} lost a due time"
        covered += len(dues) + summed
    return covered


def run_with_kills(workers: Workers, seconds: float, seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(8):
        workers.add()
    eventually(lambda: workers.log.exists() and len(workers.starts()) > 50, within=30)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(generator.uniform(0.1, 0.5))  # not for synchronisation: kills come at random
        workers.kill_one(generator)
        workers.add()
    # The dead leave leases of two seconds; the living look for them every second.
    eventually(lambda: not [run for run in workers.unfinished() if run.pid in workers.killed], within=30, every=0.1)
    workers.stop()


@pytest.mark.timeout(100 + 2 * SECONDS)
@pytest.mark.parametrize("seed", [1, 2, 3] if LONG else [7])
def test_no_due_time_starts_twice_or_vanishes_when_workers_are_killed(crowd: Workers, seed: int) -> None:
    run_with_kills(crowd, SECONDS, seed)
    covered = check_none_twice_none_lost(crowd)
    assert covered > JOBS / INTERVAL * SECONDS * 0.8
    workers = {run.claimed_by for run in crowd.runs() if run.claimed_by}
    assert len(workers) > 8, "the work was shared"
    dead = [run for run in crowd.runs() if run.outcome is Outcome.ABANDONED]
    print(f"{covered} due times, {len(crowd.killed)} workers killed, {len(dead)} runs abandoned")


def test_a_worker_that_dies_at_work_leaves_an_abandoned_row_that_is_tried_again(spawn: Spawn, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, time\n"
        "from rota import Scheduler\n"
        "rota = Scheduler('sqlite:///rota.db', name='shop', lease='1s')\n"
        "@rota.job(retries=1, retry_backoff='100ms', run_on_start=sys.argv[1] == 'first')\n"
        "def long(run):\n"
        "    run.progress(run.attempt)\n"
        "    if run.attempt == 1: run.wait('60s')\n"
        "rota.run_forever()\n"
    )
    store = SqliteStore(tmp_path / "rota.db")
    first = spawn(sys.executable, str(script), "first", cwd=tmp_path, stderr=subprocess.DEVNULL)
    eventually(lambda: any(run.done == 1 for run in store.runs("shop")))
    first.kill()
    spawn(sys.executable, str(script), "second", cwd=tmp_path, stderr=subprocess.DEVNULL)
    eventually(lambda: any(run.outcome is Outcome.OK for run in store.runs("shop")), within=20)
    again, died = store.runs("shop")
    assert (died.outcome, again.outcome, again.attempt, again.parent) == (Outcome.ABANDONED, Outcome.OK, 2, died.id)
    assert again.fence > died.fence
    store.close()
