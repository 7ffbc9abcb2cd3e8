"""Very many processes that crash at once and again: counted exactly, given up in the end, and rota answers meanwhile."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from rota.client.connection import RemoteError
from rota.process.spec import LogSpec, RestartSpec
from rota.process.state import Failed
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.scratch import shell, spec, wait
from rota.wire.messages import StartSpecs

if TYPE_CHECKING:
    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

NAME, CRASHES = "crasher", 4
MEMORY_EACH = 4 * 2**20
"""Bytes that one crashing shell may need while it lives, generously."""


def crashloop(scene: Scene) -> Finding:
    """1,000 instances that end at once: fewer on a machine with little memory or one core."""
    cores = len(os.sched_getaffinity(0))
    count = max(50, min(scene.size(1000), 500 * cores, processes.available_memory() // MEMORY_EACH))
    scratch = scene.scratch
    restart = RestartSpec(min_uptime=3600.0, max_restarts=CRASHES)
    app = spec(
        NAME,
        shell("echo crash; exit 7"),
        instances=count,
        instances_given=True,
        restart=restart,
        logs=LogSpec(merge=True, max_size=10**9),
    )
    scene.report(f"{count} processes")
    with contextlib.suppress(RemoteError):  # it says that they crashed
        scratch.call(StartSpecs(specs=(app,), from_file=True), within=300)
    slowest = _settle(scene, count)
    starts = sum(record.instance.gen for record in scratch.records())
    with open(scratch.logs(NAME), "rb") as file:
        lines = sum(line == b"crash\n" for line in file)
    if lines != starts:
        raise Broken(f"started {starts} times by the ledger, {lines} times by what they printed")
    _exits(scratch, count)
    did = f"{count} processes crash-looping, {starts:,} starts"
    return Finding(did, count, "no crash uncounted", f"slowest answer to a list meanwhile {slowest:.2f} s")


def _settle(scene: Scene, count: int) -> float:
    slowest = 0.0

    def look() -> bool:
        nonlocal slowest
        began = time.monotonic()
        records = scene.scratch.records()
        slowest = max(slowest, time.monotonic() - began)
        failed = sum(isinstance(record.instance.actual, Failed) for record in records)
        scene.report(f"{failed} of {count} given up")
        return failed == count

    wait(look, f"all {count} are given up", within=300, every=0.25)
    return slowest


def _exits(scratch: Scratch, count: int) -> None:
    records = scratch.records()
    wrong = [r for r in records if r.instance.last_exit is None or r.instance.last_exit.code != 7]
    if wrong or len(records) != count:
        raise Broken(f"{len(wrong)} of {len(records)} exit codes are wrong, as {wrong[0].instance.last_exit}")
