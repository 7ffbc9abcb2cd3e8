"""After any death of the daemon: match the ledger's rows with what exists, and turn the difference into ordinary events.

Three sources agree on the truth: the ledger (what was wanted, and which process was there), the keeper (descriptors, and the
exits of processes that ended meanwhile) and the processes themselves (pid, start time, boot, pidfs inode; the marker in
their environment for a spawn whose pid never reached the ledger).
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rota.daemon import exits, identity, spawn
from rota.daemon.descent import every_process, has_entry
from rota.daemon.streams import reopen_fifo
from rota.process import environ, events
from rota.process.state import Backoff, Exit, Process, Starting, Stopping, process_of

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.keeperlink import Inheritance
    from rota.daemon.perform import Effects
    from rota.daemon.world import World

log = logging.getLogger("rota.adopt")


@dataclass(slots=True)
class Report:
    """What adoption found, for the log and for tests."""

    running: int = 0
    ended: int = 0
    unknown: int = 0
    rebooted: int = 0


@dataclass(slots=True)
class Adoption:
    """One pass over the ledger's rows. `feed` is called by main once everything is wired."""

    world: World
    effects: Effects
    inheritance: Inheritance
    report: Report = field(default_factory=Report)
    pending: list[tuple[int, events.Event]] = field(default_factory=list)
    _strays: dict[tuple[int, int], int] | None = None

    def run(self) -> Report:
        """Take in every process that still lives, then report every death and unfinished step."""
        for entry in list(self.world.supervisor.entries.values()):
            self._one(entry)
        self._leftover_descriptors()
        self._leftover_exits()
        for id, event in self.pending:
            self.world.supervisor.handle(id, event)
        return self.report

    def _one(self, entry: Entry) -> None:
        actual = entry.instance.actual
        process = process_of(actual)
        match actual:
            case Starting(gen=gen):
                process = self._find_stray(entry.id, gen)
                if process is None:
                    self._never_started(entry, gen)
                    return
                log.info("%s (%d): found the process of a start that was cut short", entry.name, entry.id)
                gated = entry.spec.wait_ready or entry.spec.ready is not None
                self.pending.append((entry.id, events.Spawned(gen, process, gated)))
            case Backoff(until=until):
                delay = max(0.0, until - self.world.clock.now())
                self.effects.resume_timer(entry, "backoff", delay)
            case Stopping(process=None):
                self.effects.resume_sweep(entry)
            case Stopping():
                self.effects.resume_timer(entry, "kill", max(entry.spec.stop.kill_timeout, 0.0))
        if process is not None:
            self._take_or_report(entry, process)
            if isinstance(actual, Stopping):
                self.effects.ask_again(entry)

    def _take_or_report(self, entry: Entry, process: Process) -> None:
        pidfd = identity.reopen(process)
        gen = entry.instance.gen
        if pidfd is not None and not identity.ended(pidfd):
            self.report.running += 1
            self.effects.take(entry, self._child(entry.id, gen, process, pidfd), adopted=True)
            return
        exit = self._exit_of(process, pidfd)
        fds = self._streams(entry.id, gen)
        if pidfd is None:
            pidfd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)  # stands in for a process nobody can address
        child = spawn.Child(gen, process, pidfd, False, exits.began(process.start_ticks), fds)
        self.effects.take_dead(entry, child)
        lasted = max(0.0, exit.at - process.started) if process.started else 0.0
        self.pending.append((entry.id, events.Exited(gen, exit, lasted)))

    def _child(self, id: int, gen: int, process: Process, pidfd: int) -> spawn.Child:
        own = is_our_child(pidfd)
        child = spawn.Child(gen, process, pidfd, own, exits.began(process.start_ticks), self._streams(id, gen))
        kept = self.inheritance.kept.get(spawn.kept_key(id, gen), [])
        ipc = self.inheritance.ipc.get(spawn.kept_key(id, gen))
        if ipc is None and len(kept) > spawn.KEPT_IPC:
            ipc = os.dup(kept[spawn.KEPT_IPC])
        if ipc is not None:
            child.ipc = socket.socket(fileno=ipc)
            child.ipc.setblocking(False)
        return child

    def _streams(self, id: int, gen: int) -> dict[str, int]:
        kept = self.inheritance.kept.get(spawn.kept_key(id, gen), [])
        found: dict[str, int] = {}
        for number, stream in enumerate(("out", "err")):
            path = spawn.fifo_path(self.world.run_dir, id, gen, stream)
            fd = reopen_fifo(path, kept[number] if number < len(kept) else None)
            if fd is None:
                fd = os.open("/dev/null", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            found[stream] = fd
        return found

    def _exit_of(self, process: Process, pidfd: int | None) -> Exit:
        now = self.world.clock.now()
        if process.boot_id != identity.boot_id():
            self.report.rebooted += 1
            return Exit(at=now, known=False)
        status = self.inheritance.exits.get((process.pid, process.start_ticks))
        if status is None and pidfd is not None:
            status = identity.exit_of_stranger(process, pidfd)
        if status is None:
            self.report.unknown += 1
            return Exit(at=now, known=False)
        self.report.ended += 1
        return identity.exit_from_status(status, now)

    def _never_started(self, entry: Entry, gen: int) -> None:
        reason = "rota ended in the middle of starting it"
        self.pending.append((entry.id, events.SpawnFailed(gen, reason, temporary=True)))

    def _find_stray(self, id: int, gen: int) -> Process | None:
        """The session leader that carries this generation's marker."""
        entry = f"{environ.MARKER}={environ.marker(self.world.home_id, id, gen)}".encode()
        for pid, stat in every_process():
            if stat.session == pid and has_entry(pid, entry):
                opened = identity.open_process(pid)
                if opened is not None:
                    os.close(opened[0])
                    return opened[1]
        return None

    def _leftover_descriptors(self) -> None:
        """Descriptors of generations that are over: what they still hold goes to the log, then they are given back."""
        for key, fds in self.inheritance.kept.items():
            id, _, gen = key.partition(".")
            entry = self.world.supervisor.entries.get(int(id)) if id.isdigit() and gen.isdigit() else None
            if entry is not None and (entry.child is None or entry.child.gen != int(gen)):
                self.world.streams.open(entry.id, entry.spec, self._streams(entry.id, int(gen)), adopted=True).close()
                spawn.remove_fifos(self.world.run_dir, entry.id, int(gen))
            if entry is None or entry.child is None or entry.child.gen != int(gen):
                self.world.keeper.deposit(key, [])
            for fd in fds:
                os.close(fd)

    def _leftover_exits(self) -> None:
        """All the keeper told is now either in an event to come or nobody's: it may forget once the ledger has it."""
        for pid, start in self.inheritance.exits:
            self.world.loop.call_soon(self.world.keeper.acknowledge, pid, start)


def is_our_child(pidfd: int) -> bool:
    """Whether we may wait for it: true after a planned re-execution, false after a crash."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
