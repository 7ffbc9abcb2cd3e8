"""The daemon's own log, rota.log: one line an event, rotated like any other log."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.logs.files import LogFiles
    from rota.logs.writer import LogFile


class OwnLog(logging.Handler):
    """Writes records into a LogFile. A disk that is full does not stop the daemon: the line is dropped."""

    def __init__(self, files: LogFiles, file: LogFile) -> None:
        super().__init__()
        self._files, self._file = files, file
        self.setFormatter(_Formatter())

    def mark(self, writing: bool) -> None:
        """Only the daemon writes here; nothing to note."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode("utf-8", "replace") + b"\n"
        now, wall = self._files.monotonic(), self._files.wall()
        with contextlib.suppress(OSError):
            self._file.ready(now, wall)
            self._file.claim(self, now, wall, mine=None)
            self._file.append(line, now, wall)


class _Formatter(logging.Formatter):
    """`2026-01-31T20:16:06: rota log: text`, with `error` for `log` from warnings up, as PM2's log has it."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        kind = "error" if record.levelno >= logging.WARNING else "log"
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"{stamp}: rota {kind}: {text}"
