"""Many commands start rota at once: one keeper and one daemon come of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from rota.torture.finding import Broken, Finding
from rota.torture.scratch import PATIENCE, PROGRAM, shell, spec, wait

if TYPE_CHECKING:
    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

RACERS = 8
APP = "app"


def race(scene: Scene) -> Finding:
    """Commands race to start rota, then daemons are started by hand beside it."""
    scratch, rounds = scene.scratch, scene.rounds(4)
    scratch.start(spec(APP, shell("exec sleep 100000")))
    pid = scratch.pid(APP)
    for number in range(rounds):
        scene.report(f"race {number + 1} of {rounds}")
        scratch.kill_both()
        _race(scratch)
        _intrude(scratch)
        _one_pair(scratch)
        if scratch.pid(APP) != pid:
            raise Broken(f"the app was {pid} and is {scratch.pid(APP)}")
    return Finding(f"{rounds} races of {RACERS} commands and 2 daemons by hand", rounds, "no app, no second owner")


def _race(scratch: Scratch) -> None:
    racers = [
        subprocess.Popen([*PROGRAM, "ping"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(RACERS)
    ]
    for racer in racers:
        out, err = racer.communicate(timeout=PATIENCE)
        if racer.returncode != 0 or b"pong" not in out:
            raise Broken(f"a command in the race failed: {err.decode().strip()[-200:]}")


def _intrude(scratch: Scratch) -> None:
    argv = [sys.executable, "-I", "-m", "rota.daemon", scratch.home.path]
    intruders = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for intruder in intruders:
        _, err = intruder.communicate(timeout=PATIENCE)
        if intruder.returncode == 0 or b"another rota daemon owns" not in err:
            raise Broken(f"a second daemon was not refused: exit code {intruder.returncode}, {err.decode()[-200:]}")


def _one_pair(scratch: Scratch) -> None:
    owners = sorted(scratch.owners())
    wait(
        lambda: sorted(pid for pid, mark in scratch.processes().items() if not mark) == owners,
        f"keeper and daemon are these two and no others: {owners}",
        within=20,
    )
