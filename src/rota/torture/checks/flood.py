"""Apps that write as fast as they can, while their logs rotate, are compressed, and the daemon is killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rota.process.spec import LogSpec
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.numbered import Chorus, log_files
from rota.torture.scratch import wait

if TYPE_CHECKING:
    from rota.torture.scene import Scene

APPS, WIDTH, KILLS = 2, 100, 3


def flood(scene: Scene) -> Finding:
    """Every line is in exactly one file, whole and in order."""
    scratch, limit = scene.scratch, max(50_000, round(250_000 * min(scene.pace, 8.0)))
    logs = LogSpec(max_size=4 * 2**20, keep=10_000, compress=True, max_total=10**12)
    names = [f"flood-{number}" for number in range(APPS)]
    chorus = Chorus(scratch, names, pause=0.0, batch=200, width=WIDTH, limit=limit, logs=logs)
    chorus.speaks()
    for number in range(KILLS):
        mark = limit * (number + 1) // (KILLS + 1)
        wait(lambda mark=mark: chorus.written(names[0]) >= mark, "the flood goes on")  # type: ignore[misc]
        scene.report(f"{chorus.written(names[0]):,} of {limit:,} lines, daemon killed {number} times")
        _, victim = scratch.owners()
        processes.kill(victim)
        scratch.back(victim)
    wait(lambda: all(chorus.written(name) >= limit for name in names), "the flood ends")
    lines = chorus.verify()
    files = [path for name in names for path in log_files(scratch.home.logs, name)]
    packed = sum(path.endswith(".gz") for path in files)
    if packed == 0:
        raise Broken(f"{len(files)} files, and none was rotated and compressed")
    large = [os.path.basename(path) for path in files if os.stat(path).st_size > 16 * 2**20]
    if large:
        raise Broken(f"rotation at 4 MB left {large[0]} larger than 16 MB")
    did = f"{lines:,} numbered lines through {len(files)} files ({packed} compressed), daemon killed {KILLS} times"
    return Finding(did, lines, "no line")
