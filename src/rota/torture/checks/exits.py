"""Children that end while no daemon can see it: the keeper remembers how."""

from __future__ import annotations

import os
import signal
import stat
from typing import TYPE_CHECKING

from rota.process.spec import RestartSpec
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.scratch import shell, spec, wait

if TYPE_CHECKING:
    from rota.process.record import Record
    from rota.torture.scene import Scene

COUNT = 12


def unseen(scene: Scene) -> Finding:
    """The daemon is stopped in its tracks, children end with known codes and signals, and it is killed."""
    scratch, rounds = scene.scratch, scene.rounds(4)
    assert stat.S_ISDIR(os.stat(scratch.work).st_mode)
    for number in range(rounds):
        scene.report(f"round {number + 1} of {rounds}")
        _round(scene, number)
    return Finding(f"{rounds * COUNT} children ended while the daemon was down", rounds * COUNT, "no exit code")


def _round(scene: Scene, number: int) -> None:
    scratch = scene.scratch
    gate = f"{scratch.work}/gate-{number}"
    os.mkfifo(gate, 0o600)
    codes = {f"child-{number}-{place}": scene.rng.randrange(1, 200) for place in range(COUNT)}
    victim = f"child-{number}-0"
    once = RestartSpec(autorestart=False)
    wait_at_gate = 'trap "" HUP; read -r _ <{gate}; exit {code}'
    scratch.start(
        *(spec(name, shell(wait_at_gate.format(gate=gate, code=code)), restart=once) for name, code in codes.items())
    )
    pids = {record.spec.name: _pid(record) for record in scratch.records() if record.spec.name in codes}
    holder = os.open(gate, os.O_RDWR)  # all who wait may open it
    wait(lambda: all(_reads(pid, gate) for pid in pids.values()), "all children wait at the gate")
    _, daemon = scratch.owners()
    processes.kill(daemon, signal.SIGSTOP)
    processes.kill(pids[victim], signal.SIGKILL)
    os.write(holder, b"\n" * COUNT)
    wait(lambda: not any(map(processes.alive, pids.values())), "all children have ended")
    os.close(holder)
    processes.kill(daemon)
    scratch.back(daemon)
    for record in scratch.records():
        if record.spec.name in codes:
            _check(record, codes[record.spec.name], killed=record.spec.name == victim)
    scratch.act("delete", *codes)


def _reads(pid: int, gate: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/0") == gate
    except OSError:
        return False


def _check(record: Record, code: int, *, killed: bool) -> None:
    found = record.instance.last_exit
    expected = (None, signal.SIGKILL) if killed else (code, None)
    if found is None or not found.known or (found.code, found.signal) != expected:
        raise Broken(f"{record.spec.name} ended with {expected}, rota says {found}")


def _pid(record: Record) -> int:
    from rota.torture.scratch import pid_of

    return pid_of(record)
