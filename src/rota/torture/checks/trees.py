"""Stopping means that nothing is left: of what ignores signals, and of what has crept away."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from rota.process.spec import StopSpec
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.scratch import spec, wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

GRACE = 0.3

STUBBORN = r"""
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\n")
time.sleep(100000)
"""

FAMILY = r"""
import os, signal, sys, time
def note():
    with open(sys.argv[1], "a") as file:
        file.write(f"{os.getpid()}\n")
def away(deep, cleared):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    note()
    if deep:
        away(deep - 1, cleared)
    if cleared:
        os.closerange(0, 64)
        os.execve("/bin/sleep", ["sleep", "100000"], {})
    time.sleep(100000)
away(2, False)
note()
if sys.argv[2:]:
    away(0, True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
time.sleep(100000)
"""
"""Double-forks away: a chain of three in sessions of their own. With a second argument also one that has dropped its
environment and its descriptors before anybody saw it: nothing that rota looks at tells whose that is."""
FAMILY_SIZE = 4


def stubborn(scene: Scene) -> Finding:
    """Children that ignore every polite signal."""
    scratch, rounds, count = scene.scratch, scene.rounds(4), 10
    longest = 0.0
    for number in range(rounds):
        scene.report(f"round {number + 1} of {rounds}")
        names = [f"stubborn-{place}" for place in range(count)]
        pids = _run(scratch, names, STUBBORN, count)
        longest = max(longest, _stop(scratch, names, pids))
    return Finding(
        f"{rounds * count} processes that ignore six signals stopped, {GRACE:g} s grace",
        rounds * count,
        "nothing left running",
        f"slowest stop of {count}: {longest:.2f} s",
    )


def family(scene: Scene) -> Finding:
    """Grandchildren that forked away twice."""
    scratch, rounds, count = scene.scratch, scene.rounds(4), 4
    for number in range(rounds):
        scene.report(f"round {number + 1} of {rounds}")
        names = [f"family-{place}" for place in range(count)]
        pids = _run(scratch, names, FAMILY, count * FAMILY_SIZE)
        _stop(scratch, names, pids)
    total = rounds * count
    did = f"{total} trees of {FAMILY_SIZE} double-forked processes stopped"
    return Finding(did, total, "nothing left running", _disguised(scratch))


def _disguised(scratch: Scratch) -> str:
    """Documented, and worth knowing of a machine: whether even what hides completely is found here."""
    try:
        _stop(scratch, ["disguised"], _run(scratch, ["disguised"], FAMILY, FAMILY_SIZE + 1, "disguised"))
    except Broken:
        return "one that also clears its environment before it was seen escapes, as documented"
    return "also one that clears its environment unseen"


def _run(scratch: Scratch, names: Sequence[str], source: str, expected: int, *more: str) -> list[int]:
    notes = f"{scratch.work}/pids-{time.monotonic_ns()}"
    argv = (sys.executable, "-I", "-S", "-c", source, notes, *more)
    scratch.start(*(spec(name, argv, stop=StopSpec(kill_timeout=GRACE)) for name in names))

    def look() -> list[int]:
        if not os.path.exists(notes):
            return []
        with open(notes, encoding="ascii") as file:
            found = [int(line) for line in file if line.endswith("\n")]
        return found if len(found) == expected else []

    return wait(look, f"{expected} processes have said who they are")


def _stop(scratch: Scratch, names: Sequence[str], pids: Sequence[int]) -> float:
    began = time.monotonic()
    scratch.act("stop", *names)
    took = time.monotonic() - began
    left = [pid for pid in pids if processes.alive(pid)]
    for pid in left:
        processes.kill(pid)
    scratch.act("delete", *names)
    if left:
        raise Broken(f"`rota stop` returned, and {len(left)} of {len(pids)} processes still ran")
    return took
