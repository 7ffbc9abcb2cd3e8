"""Streams in the test's own process, on real FIFOs and files, with a clock that stands still until told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rota.logs.drain import Drain, Sink
from rota.logs.encode import encoder
from rota.logs.files import LogFiles

if TYPE_CHECKING:
    from pathlib import Path

    from rota.logs.rotation import RotationPolicy

T0 = 1_767_000_000.0


class Bed:
    """A registry of log files, and streams into them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.now = 1000.0
        self.reports: list[str] = []
        self.files = LogFiles(wall=self.wall, monotonic=lambda: self.now, report=self.reports.append, **options)
        self.drains: list[Drain] = []
        self.writers: list[int] = []

    def wall(self) -> float:
        return T0 + self.now

    def stream(
        self,
        *paths: str,
        kind: str = "out",
        name: str = "api",
        policy: RotationPolicy | None = None,
        continues: bool = False,
        **form: Any,
    ) -> tuple[Drain, int]:
        """(drain, writing end) of a new FIFO that goes to folder/PATH..., in that form."""
        fifo = self.folder / f"fifo{len(self.drains)}"
        os.mkfifo(fifo)
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        writing = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        made = encoder(kind=kind, process_id=0, app_name=name, **form)
        sinks = [Sink(self.files.open(os.path.join(self.folder, path), policy, group=name), made) for path in paths]
        drain = Drain(reading, kind, sinks, files=self.files, name=name, continues=continues)
        self.drains.append(drain)
        self.writers.append(writing)
        return drain, writing

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def names(self) -> list[str]:
        """The logs in the folder, rotated ones included; no FIFOs, no sidecars."""
        return sorted(each.name for each in self.folder.iterdir() if not each.name.startswith((".", "fifo")))

    def close(self) -> None:
        for drain in self.drains:
            drain.close()
        for fd in self.writers:
            os.close(fd)
        self.files.close()
