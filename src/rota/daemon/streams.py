"""From a process's FIFOs to its log files: which files, in which form, under which rotation. The moving is rota.logs'."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from rota.logs.drain import Drain, Sink
from rota.logs.encode import RAW, encoder
from rota.logs.rotation import RotationPolicy
from rota.process.paths import NOWHERE, log_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.settings import Settings
    from rota.home import Home
    from rota.logs.files import LogFiles
    from rota.logs.pump import LogPump
    from rota.logs.writer import LogFile
    from rota.process.spec import AppSpec

Heard: TypeAlias = "Callable[[str, bytes], None]"


RUN_POLICY = RotationPolicy(max_size=64 * 1024 * 1024, keep=1, next_time=None)
"""The output of one run: in one piece, unless it is absurdly long."""


class Outputs:
    """The two streams of one process, being drained. Owns the read ends it was given."""

    def __init__(self, pump: LogPump, drains: list[Drain], files: list[LogFile], run_files: list[LogFile]) -> None:
        self._pump = pump
        self.drains = drains
        self._files, self._run_files = files, run_files
        self._taps: dict[Heard, list[Callable[[bytes], None]]] = {}
        for drain in drains:
            pump.add(drain)

    def close(self) -> None:
        """The writers are gone: everything that is left goes to the files, then all is closed."""
        for drain in self.drains:
            self._pump.remove(drain)
        self.drains = []

    def listen(self, heard: Heard) -> None:
        """Hand every piece of output to `heard(kind, bytes)`, once it is in the files."""
        taps: list[Callable[[bytes], None]] = [partial(heard, drain.kind) for drain in self.drains]
        for drain, tap in zip(self.drains, taps, strict=True):
            drain.taps.append(tap)
        self._taps[heard] = taps

    def unlisten(self, heard: Heard) -> None:
        """Undo `listen`."""
        for drain, tap in zip(self.drains, self._taps.pop(heard, []), strict=False):
            drain.taps.remove(tap)

    def writes(self, file: LogFile) -> bool:
        """Whether output goes to this file."""
        return any(each is file for each in (*self._files, *self._run_files))

    def set_policy(self, policy: RotationPolicy) -> None:
        """Rotate by this from now on."""
        for file in self._files:
            file.policy = policy


class Streams:
    """Opens Outputs; knows the home's log directory and the rotation settings."""

    def __init__(self, home: Home, settings: Settings, files: LogFiles, pump: LogPump) -> None:
        self._home, self._settings, self.files, self._pump = home, settings, files, pump

    def open(self, id: int, spec: AppSpec, fds: dict[str, int], *, adopted: bool = False, run_log: str = "") -> Outputs:
        """Start draining the read ends ("out", "err") of an instance's process.

        `adopted`: the process was writing before this daemon, so an unfinished line in its file is its own. `run_log`: a
        further file for both streams, as it came: the output of one run of a job.
        """
        files: list[LogFile] = []
        run_files: list[LogFile] = []
        out, error, combined = log_paths(spec, id, self._home.logs)
        policy = self._settings.policy(spec.logs)
        # Told beforehand, since after a crash the instances that share a file are adopted one by one.
        others = log_paths(spec, id + 1, self._home.logs) if spec.instances != 1 else ()

        def drain(kind: str, path: str) -> Drain:
            form = encoder(
                kind=kind,
                process_id=id,
                app_name=spec.name,
                log_type="json" if spec.logs.json else None,
                log_date_format=spec.logs.date_format or None,
            )
            paths = [path]
            if combined and combined != path:
                # Kept nowhere but in the combined file is PM2's way of saying "only the combined one".
                paths = [combined] if path == NOWHERE else [path, combined]
            opened = [self.files.open(each, policy, group=spec.name, shared=each in others) for each in paths]
            files.extend(opened)
            sinks = [Sink(file, form) for file in opened]
            if run_log:
                run_files.append(self.files.open(run_log, RUN_POLICY, group=spec.name))
                sinks.append(Sink(run_files[-1], RAW))
            return Drain(fds[kind], kind, sinks, files=self.files, name=spec.name, continues=adopted)

        return Outputs(self._pump, [drain("out", out), drain("err", error)], files, run_files)


def reopen_fifo(path: str, kept: int | None, in_use: str = "") -> int | None:
    """A read end of a FIFO that exists already: by its name, else through the descriptor the keeper held, else through the
    one that the process itself has open (`in_use`, in /proc), if that is still the FIFO of this name: somebody may have
    emptied the runtime directory, or removed it, so that another one has taken its place."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    candidates = [path, f"/proc/self/fd/{kept}" if kept is not None else ""]
    with contextlib.suppress(OSError):
        if in_use and _is_that_fifo(os.readlink(in_use), path):
            candidates.append(in_use)
    for candidate in candidates:
        try:
            return os.open(candidate, flags)
        except OSError:
            continue
    return None


def _is_that_fifo(found: str, path: str) -> bool:
    """Runtime directories of one home differ in what stands before the home's id."""
    directory, _, name = found.removesuffix(" (deleted)").rpartition("/")
    ours, _, expected = path.rpartition("/")
    return name == expected and directory.rpartition("-")[2] == ours.rpartition("-")[2]


def silence() -> int:
    """A read end that has ended, for a process whose output can be had no more. (A pipe: an event loop takes no file.)"""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.close(write)
    return read
