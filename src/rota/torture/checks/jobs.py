"""A job that is due each second, while the daemon is killed: one run for each due time."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

from rota.jobs.spec import JobSpec
from rota.process.spec import RestartSpec
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.scratch import shell, spec, wait
from rota.wire.messages import PauseJob, Runs

if TYPE_CHECKING:
    from typing import Any

    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

NAMES = ("each-second", "each-two")
LIMIT = 100_000


def once(scene: Scene) -> Finding:
    """No due time runs twice, none is unaccounted for, and what ran is what the ledger says."""
    scratch, rounds = scene.scratch, scene.rounds(10)
    for name, every in zip(NAMES, (1.0, 2.0), strict=True):
        job = JobSpec(every=every, keep_runs=LIMIT, overlap="allow")
        line = shell(f"echo run >> {scratch.work}/{name}; sleep 0.3")
        scratch.start(spec(name, line, job=job, autostart=False, restart=RestartSpec(autorestart=False)))
    for number in range(rounds):
        scene.report(f"daemon killed {number} of {rounds} times")
        scene.pause(1.2)
        _, victim = scratch.owners()
        processes.kill(victim)
        scratch.back(victim)
    time.sleep(1.0)
    for name in NAMES:
        scratch.ask(PauseJob(name=name, paused=True))
    total = sum(_verify(scratch, name, every) for name, every in zip(NAMES, (1.0, 2.0), strict=True))
    return Finding(f"daemon killed {rounds} times while {total} runs fell due", total, "no due time, none twice")


def _verify(scratch: Scratch, name: str, every: float) -> int:
    rows = wait(lambda: _finished(scratch, name), f"the runs of {name} end")
    due = Counter(row["due"] for row in rows if row["due"] is not None)
    twice = [slot for slot, count in due.items() if count > 1]
    if twice:
        raise Broken(f"{name}: {len(twice)} due times have more than one run")
    slots = sorted(due)
    gaps = [(a, b) for a, b in itertools.pairwise(slots) if abs(b - a - every) > 0.01]
    if gaps:
        raise Broken(f"{name}: between {gaps[0][0]} and {gaps[0][1]} due times are unaccounted for ({len(gaps)} gaps)")
    started = [row for row in rows if row["started"] is not None]
    wrong = [row for row in started if row["outcome"] != "ok"]
    if wrong:
        raise Broken(f"{name}: {len(wrong)} of {len(started)} runs ended {wrong[0]['outcome']}: {wrong[0]}")
    with open(f"{scratch.work}/{name}", encoding="ascii") as file:
        ran = len(file.readlines())
    if ran != len(started):
        raise Broken(f"{name}: the ledger says {len(started)} runs, {ran} took place")
    return len(started)


def _finished(scratch: Scratch, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = scratch.ask(Runs(job=name, limit=LIMIT))
    return rows if rows and all(row["state"] == "finished" for row in rows) else []
