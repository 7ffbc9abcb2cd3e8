"""After any death of the daemon: match the ledger's rows with what exists, and turn the difference into ordinary events.

Three sources agree on the truth: the ledger (what was wanted, and which process was there), the keeper (descriptors, and the
exits of processes that ended meanwhile) and the processes themselves (pid, start time, boot, pidfs inode; the marker in
their environment for a spawn whose pid never reached the ledger).
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rota.daemon import exits
from rota.daemon.procs import identity, spawn
from rota.daemon.procs.leaders import Leaders, session_leaders
from rota.daemon.procs.mark import mark_of as mark_in_limits
from rota.daemon.streams import reopen_fifo, silence
from rota.process import environ, events
from rota.process.spec import is_gated
from rota.process.state import Backoff, Exit, Process, Ready, Starting, Stopping, Up, mark_of, process_of
from rota.process.step import ready_limit

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.keeperlink import Inheritance
    from rota.daemon.perform import Effects
    from rota.daemon.strays import Strays
    from rota.daemon.world import World

log = logging.getLogger("rota.adopt")

PATIENCE = 0.2
"""How long, in one adoption, to wait for exits that the keeper may be about to tell, seconds."""
BOOT = "boot_id"
"""Setting: the boot of the machine in which the ledger was last opened."""


class Report(msgspec.Struct):
    """What adoption found, for the log and for tests."""

    running: int = 0
    ended: int = 0
    unknown: int = 0
    rebooted: int = 0


class Adoption(msgspec.Struct):
    """One pass over the ledger's rows. `run` is called by main once everything is wired."""

    world: World
    effects: Effects
    inheritance: Inheritance
    report: Report = msgspec.field(default_factory=Report)
    pending: list[tuple[int, events.Event]] = msgspec.field(default_factory=list)
    _leaders: Leaders | None = None
    _patience: float = 0.0
    """Until when to wait for the keeper's word about processes that have just gone, monotonic seconds."""

    def run(self) -> Report:
        """Take in every process that still lives, then report every death and unfinished step."""
        entries = self.world.supervisor.everybody()
        if self._rebooted(entries):
            self.report.rebooted = len(entries)
            self.pending = [(entry.id, events.Rebooted(self.world.clock.now())) for entry in entries]
        else:
            traces = self._traces()
            for entry in entries:
                self._one(entry, traces.get(mark_of(entry.instance), set()))
        self._leftovers()
        self._leftover_exits()
        for id, event in self.pending:
            self.world.supervisor.handle(id, event)
        self._unfinished_stops(entries)
        return self.report

    def _unfinished_stops(self, entries: list[Entry]) -> None:
        """A stop of many, written down for all of them and carried out for some."""
        for entry in entries:
            running = isinstance(entry.instance.actual, Up | Ready)
            if running and entry.instance.desired == "down" and entry.instance.stands_for is None:
                self.world.supervisor.want([entry.id], "down", "it was being stopped when rota ended")

    def _rebooted(self, entries: list[Entry]) -> bool:
        """Whether the machine was restarted since the ledger was written."""
        boot, ledger = identity.boot_id(), self.world.ledger
        processes = [process for entry in entries if (process := process_of(entry.instance.actual)) is not None]
        noted = ledger.setting(BOOT)
        if noted != boot:
            ledger.set_setting(BOOT, boot)
        return noted not in ("", boot) or any(process.boot_id != boot for process in processes)

    def _traces(self) -> dict[int, set[int]]:
        """Generations that had a process, by instance, as the FIFOs and the keeper tell it: they know of processes that a
        ledger on a full disk, or one rebuilt from its second copy, does not."""
        found: dict[int, set[int]] = {}
        for key in (*self.inheritance.kept, *spawn.fifo_keys(self.world.run_dir)):
            id, _, gen = key.partition(".")
            if id.isdecimal() and gen.isdecimal():
                found.setdefault(int(id), set()).add(int(gen))
        return found

    def _one(self, entry: Entry, traces: set[int]) -> None:
        known = entry.instance.gen
        newer = [gen for gen in traces if gen > known] if not isinstance(entry.instance.actual, Starting) else []
        for gen in sorted(newer, reverse=True):
            process = self._main_process(mark_of(entry.instance), gen)
            if process is not None:
                log.warning("%s (%d): ran in a generation the ledger does not know", entry.name, entry.id)
                starting = Starting(gen, process.started)
                instance = replace(entry.instance, gen=gen, desired="up", actual=starting, started=process.started)
                self.world.supervisor.correct(entry, instance)
                break
        if newer and entry.instance.gen == known:
            # It had processes that have ended; their names must not be used again.
            self.world.supervisor.correct(entry, replace(entry.instance, gen=max(newer)))
            if process_of(entry.instance.actual) is not None:
                self._ended_unseen(entry, known)
                return
        self._resume(entry)

    def _ended_unseen(self, entry: Entry, gen: int) -> None:
        """The process the ledger knows was followed by others, and the last of these has ended, too: the policy decides."""
        process = process_of(entry.instance.actual)
        assert process is not None
        instance = entry.instance
        actual = replace(instance.actual, gen=instance.gen)
        self.world.supervisor.correct(entry, replace(instance, actual=actual))
        self.report.unknown += 1
        self.pending.append((entry.id, events.Exited(instance.gen, Exit(self.world.clock.now(), known=False), 0.0)))

    def _resume(self, entry: Entry) -> None:
        actual, gen = entry.instance.actual, entry.instance.gen
        process = process_of(actual)
        now = self.world.clock.now()
        match actual:
            case Starting():
                process = self._main_process(mark_of(entry.instance), gen)
                if process is None:
                    self.pending.append((entry.id, events.NeverSpawned(gen)))
                    return
                log.info("%s (%d): found the process of a start that was cut short", entry.name, entry.id)
                gated = is_gated(entry.spec)
                self.pending.append((entry.id, events.Spawned(gen, process, gated)))
            case Backoff(until=until):
                self.effects.resume_timer(entry, "backoff", max(0.0, until - now))
            case Up(since=since, late=False):
                self.effects.resume_timer(entry, "ready", max(0.0, since + ready_limit(entry.spec) - now))
            case Stopping(process=None):
                if actual.root is not None:
                    self.effects.take_dead(entry, self._dead(mark_of(entry.instance), gen, actual.root, None))
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
            self.effects.take(entry, self._child(mark_of(entry.instance), gen, process, pidfd), adopted=True)
            return
        exit = self._exit_of(process, pidfd)
        self.effects.take_dead(entry, self._dead(mark_of(entry.instance), gen, process, pidfd))
        lasted = max(0.0, exit.at - process.started) if process.started else 0.0
        self.pending.append((entry.id, events.Exited(gen, exit, lasted)))

    def _dead(self, id: int, gen: int, process: Process, pidfd: int | None) -> spawn.Child:
        reaped = pidfd is None
        if pidfd is None:
            pidfd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        began = exits.began(process.start_ticks)
        return spawn.Child(gen, process, pidfd, False, began, self._streams(id, gen), reaped=reaped, key=id)

    def _child(self, id: int, gen: int, process: Process, pidfd: int) -> spawn.Child:
        own = is_our_child(pidfd)
        child = spawn.Child(
            gen, process, pidfd, own, exits.began(process.start_ticks), self._streams(id, gen, process.pid), key=id
        )
        kept = self.inheritance.kept.get(spawn.kept_key(id, gen), [])
        ipc = self.inheritance.ipc.get(spawn.kept_key(id, gen))
        if ipc is None and len(kept) > spawn.KEPT_IPC:
            ipc = os.dup(kept[spawn.KEPT_IPC])
        if ipc is not None:
            child.ipc = socket.socket(fileno=ipc)
            child.ipc.setblocking(False)
        return child

    def _streams(self, id: int, gen: int, pid: int = 0) -> dict[str, int]:
        kept = self.inheritance.kept.get(spawn.kept_key(id, gen), [])
        found: dict[str, int] = {}
        for number, stream in enumerate(("out", "err")):
            path = spawn.fifo_path(self.world.run_dir, id, gen, stream)
            fd = reopen_fifo(path, kept[number] if number < len(kept) else None, f"/proc/{pid}/fd/{number + 1}")
            found[stream] = silence() if fd is None else fd
        return found

    def _exit_of(self, process: Process, pidfd: int | None) -> Exit:
        now = self.world.clock.now()
        status = self._told(process)
        if status is None and pidfd is not None:
            status = identity.exit_of_stranger(process, pidfd)
        if status is None:
            status = self._told(process, PATIENCE)
        if status is None:
            self.report.unknown += 1
            return Exit(at=now, known=False)
        self.report.ended += 1
        return identity.exit_from_status(status, now)

    def _told(self, process: Process, within: float = 0.0) -> int | None:
        """What the keeper says of it. It may have been reaped a moment ago, and the word be under way."""
        key, clock = (process.pid, process.start_ticks), self.world.clock
        if within and not self._patience:
            self._patience = clock.monotonic() + within
        left = self._patience - clock.monotonic() if within else 0.0
        while key not in self.inheritance.exits and self.world.keeper.hear(self.inheritance, left):
            left = self._patience - clock.monotonic() if within else 0.0
        return self.inheritance.exits.get(key)

    def _main_process(self, id: int, gen: int) -> Process | None:
        """The main process of a generation whose pid never reached the ledger, running or ended; None when there was none.

        One that runs carries its marker, one not yet reaped its mark, and of any other the keeper told the mark before it
        reaped it: so the processes are looked at first, and then the keeper is listened to.
        """
        leaders = self._session_leaders()
        while self.world.keeper.hear(self.inheritance, 0.0):
            pass
        mark = mark_in_limits(f"{environ.MARKER}={environ.marker(self.world.home_id, id, gen)}".encode())
        told = [(start, pid) for (pid, start), one in self.inheritance.marks.items() if one == mark]
        # Descendants may lead sessions of their own; the main process is older.
        found = [one for one in (leaders.by_marker.get((id, gen)), leaders.by_mark.get(mark), *told) if one is not None]
        return _identified(*min(found)) if found else None

    def _session_leaders(self) -> Leaders:
        if self._leaders is None:
            self._leaders = session_leaders(self.world.home_id)
        return self._leaders

    def _leader(self, id: int, gen: int) -> Process | None:
        """The running main process of a generation: the first session leader that carries its marker."""
        found = self._session_leaders().by_marker.get((id, gen))
        opened = identity.open_process(found[1]) if found is not None else None
        if opened is None:
            return None
        os.close(opened[0])
        return opened[1]

    def _leftovers(self) -> None:
        """Descriptors and FIFOs of generations that are over: what they still hold goes to the log, then they go."""
        supervisor = self.world.supervisor
        by_mark = {mark_of(entry.instance): entry for entry in supervisor.everybody()}
        for key in {*self.inheritance.kept, *spawn.fifo_keys(self.world.run_dir)}:
            id, _, gen = key.partition(".")
            if not (id.isdecimal() and gen.isdecimal()):
                continue
            entry = by_mark.get(int(id)) or supervisor.entries.get(int(id))
            if entry is not None and entry.child is not None and entry.child.gen == int(gen):
                continue
            stray = self._leader(int(id), int(gen)) if entry is None else None
            if stray is not None:
                self._strays().add(int(id), int(gen), stray)
                continue
            if entry is not None:
                self.world.streams.open(entry.id, entry.spec, self._streams(entry.id, int(gen)), adopted=True).close()
            spawn.remove_fifos(self.world.run_dir, int(id), int(gen))
            self.world.keeper.deposit(key, [])
        for fds in self.inheritance.kept.values():
            for fd in fds:
                os.close(fd)

    def look_for_strays(self) -> None:
        """For a ledger in which nobody stood: whoever carries this home's marker and is older than this daemon. Looks at every
        process of the machine, so it is called when there is time."""
        own = identity.start_ticks(os.getpid()) or 0
        for (id, gen), (start, pid) in session_leaders(self.world.home_id).by_marker.items():
            if start < own:
                self._strays().add(id, gen, _identified(start, pid))

    def _strays(self) -> Strays:
        if self.world.strays is None:
            from rota.daemon.strays import Strays

            self.world.strays = Strays(self.world, self.effects.reapers)
        return self.world.strays

    def _leftover_exits(self) -> None:
        """All the keeper told is now either in an event to come or nobody's: it may forget once the ledger has it."""
        for pid, start in self.inheritance.exits:
            self.world.loop.call_soon(self.world.keeper.acknowledge, pid, start)


def _identified(start_ticks: int, pid: int) -> Process:
    opened = identity.open_process(pid)
    if opened is not None:
        os.close(opened[0])
        if opened[1].start_ticks == start_ticks:
            return opened[1]
    return identity.process_since(start_ticks, pid)


def is_our_child(pidfd: int) -> bool:
    """Whether we may wait for it: true after a planned re-execution, false after a crash."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
