"""Daemon, keeper or both are killed at random instants while apps write and commands are under way."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from typing import TYPE_CHECKING

from rota.errors import DaemonUnreachable, RotaError
from rota.process.spec import RestartSpec
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.numbered import Chorus
from rota.torture.scratch import pid_of, shell, spec, wait
from rota.wire.messages import Act, Update

if TYPE_CHECKING:
    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

APPS = 6


def daemon(scene: Scene) -> Finding:
    """The keeper starts another one."""
    return _killed(scene, 20, "daemon", _kill_daemon)


def keeper(scene: Scene) -> Finding:
    """The daemon takes its place."""
    return _killed(scene, 10, "keeper", _kill_keeper)


def both(scene: Scene) -> Finding:
    """The next command starts both."""
    return _killed(scene, 8, "daemon and keeper", _kill_both)


def update(scene: Scene) -> Finding:
    """The installed code is executed over the running daemon."""
    return _killed(scene, 4, "daemon", _update, verb="replaced")


def _killed(scene: Scene, normal: int, what: str, attack: object, verb: str = "killed") -> Finding:
    scratch, rounds = scene.scratch, scene.rounds(normal)
    chorus = Chorus(scratch, [f"voice-{number}" for number in range(APPS)])
    chorus.speaks()
    times = []
    with Restless(scratch) as restless:
        for number in range(rounds):
            scene.report(f"{what} {verb} {number} of {rounds} times")
            scene.pause(0.4)
            times.append(attack(scratch))  # type: ignore[operator]
            chorus.undisturbed()
    restless.verify()
    lines = chorus.verify()
    did = f"{what} {verb} {rounds} times under {APPS} writing apps and {restless.commands} commands; {lines:,} lines"
    slowest = f"back after {statistics.median(times) * 1000:.0f} ms, at most {max(times) * 1000:.0f} ms"
    return Finding(did, rounds, "no line, no app", slowest)


def _kill_daemon(scratch: Scratch) -> float:
    _, victim = scratch.owners()
    processes.kill(victim)
    return scratch.back(victim)


def _kill_keeper(scratch: Scratch) -> float:
    """Back is: another pair of keeper and daemon answers."""
    began = time.monotonic()
    victim, former = scratch.owners()
    processes.kill(victim)

    def look() -> bool:
        processes.reap([victim])
        keeper, daemon = scratch.owners()
        return keeper not in (0, victim) and daemon != former

    wait(look, "a keeper and a daemon own the home again", every=0.005)
    return time.monotonic() - began


def _kill_both(scratch: Scratch) -> float:
    scratch.kill_both()
    return scratch.wake()


def _update(scratch: Scratch) -> float:
    began = time.monotonic()
    owners = scratch.owners()
    scratch.call(Update())
    after = scratch.owners()
    if after != owners:
        raise Broken(f"keeper and daemon were {owners} and are {after}")
    return time.monotonic() - began


class Restless:
    """Keeps restarting an app, whoever is killed meanwhile. A context manager; then the app must run exactly once."""

    NAME = "restless"

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.commands = 0
        self.trouble = ""

    def __enter__(self) -> Restless:
        lasting = RestartSpec(min_uptime=0.0, max_restarts=10**9)
        self._scratch.start(spec(self.NAME, shell("echo here; exec sleep 100000"), restart=lasting))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(120)

    def _work(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(DaemonUnreachable):
                try:
                    self._scratch.call(Act(action="restart", names=(self.NAME,)))
                except DaemonUnreachable:
                    raise
                except RotaError as error:
                    self.trouble = self.trouble or str(error)
                self.commands += 1

    def verify(self) -> None:
        """It runs, once, and rota knows that process.

        Raises:
            Broken: a command was refused, or it does not.
        """
        if self._thread.is_alive():
            raise Broken("a command hangs")
        if self.trouble:
            raise Broken(f"a restart was refused: {self.trouble}")
        wait(lambda: self._scratch.pid(self.NAME), "the app that was being restarted runs")
        record = self._scratch.record(self.NAME)
        mark = f"{record.instance.id}:"
        wait(
            lambda: (
                [pid for pid, found in self._scratch.processes().items() if found.startswith(mark)]
                == [pid_of(self._scratch.record(self.NAME))]
            ),
            "the app that was being restarted runs exactly once",
            within=20,
        )
        lines = wait(lambda: self._count(), "its output is in the log")
        generations = self._scratch.record(self.NAME).instance.gen
        if lines > generations:
            raise Broken(f"started {lines} times, but the ledger knows of {generations}")

    def _count(self) -> int:
        with open(self._scratch.logs(self.NAME), "rb") as file:
            return sum(1 for _ in file)
