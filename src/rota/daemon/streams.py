"""From a process's FIFOs to its log files: which files, in which form, under which rotation. The moving is rota.logs'."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rota.logs.drain import Drain, Sink
from rota.logs.encode import encoder
from rota.process.paths import NOWHERE, log_paths

if TYPE_CHECKING:
    from rota.daemon.settings import Settings
    from rota.home import Home
    from rota.logs.files import LogFiles
    from rota.logs.pump import LogPump
    from rota.process.spec import AppSpec


class Outputs:
    """The two streams of one process, being drained. Owns the read ends it was given."""

    def __init__(self, pump: LogPump, drains: list[Drain]) -> None:
        self._pump = pump
        self.drains = drains
        for drain in drains:
            pump.add(drain)

    def close(self) -> None:
        """The writers are gone: everything that is left goes to the files, then all is closed."""
        for drain in self.drains:
            self._pump.remove(drain)
        self.drains = []


class Streams:
    """Opens Outputs; knows the home's log directory and the rotation settings."""

    def __init__(self, home: Home, settings: Settings, files: LogFiles, pump: LogPump) -> None:
        self._home, self._settings, self.files, self._pump = home, settings, files, pump

    def open(self, id: int, spec: AppSpec, fds: dict[str, int]) -> Outputs:
        """Start draining the read ends ("out", "err") of an instance's process."""
        out, error, combined = log_paths(spec, id, self._home.logs)
        policy = self._settings.policy(spec.logs)

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
            sinks = [Sink(self.files.open(each, policy, group=spec.name), form) for each in paths]
            return Drain(fds[kind], kind, sinks, files=self.files, name=spec.name)

        return Outputs(self._pump, [drain("out", out), drain("err", error)])


def reopen_fifo(path: str, kept: int | None) -> int | None:
    """A read end of a FIFO that exists already: by its name, else through the descriptor the keeper held."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    for candidate in (path, f"/proc/self/fd/{kept}" if kept is not None else ""):
        try:
            return os.open(candidate, flags)
        except OSError:
            continue
    return None
