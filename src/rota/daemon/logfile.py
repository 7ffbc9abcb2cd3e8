"""The daemon's own log, rota.log: one line an event, rotated like any other log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rota.home import setting
from rota.logs.dates import TIME_FORMAT, DateFormat

if TYPE_CHECKING:
    from rota.logs.files import LogFiles
    from rota.logs.writer import LogFile


class OwnLog(logging.Handler):
    """Writes records into a LogFile. A disk that is full does not stop the daemon: the line is dropped, and counted."""

    def __init__(self, files: LogFiles, file: LogFile) -> None:
        super().__init__()
        self._files, self._file = files, file
        self._dropped = 0
        self.setFormatter(_Formatter())

    def mark(self, writing: bool) -> None:
        """Only the daemon writes here; nothing to note."""

    def emit(self, record: logging.LogRecord) -> None:
        if not self._write(self.format(record).encode("utf-8", "replace") + b"\n"):
            self._dropped += 1

    def settle(self) -> None:
        """Try to write the line about those that were dropped."""
        self.acquire()  # another thread may be logging
        try:
            if self._dropped:
                self._write(b"")
        finally:
            self.release()

    def _write(self, line: bytes) -> bool:
        owed = f"[rota] dropped {self._dropped} lines, which could not be written\n".encode() if self._dropped else b""
        now, wall = self._files.monotonic(), self._files.wall()
        try:
            self._file.ready(now, wall)
            self._file.claim(self, now, wall, mine=None)
            self._file.append(owed + line, now, wall)
        except OSError as error:
            self._file.failed(error, now)
            return False
        self._dropped = 0
        return True


class _Formatter(logging.Formatter):
    """`2026-01-31T20:16:06: rota log: text`, with `error` for `log` from warnings up, as PM2's log has it. `ROTA_LOG_DATE_FORMAT`
    is another form of the date, or none when it is empty."""

    def __init__(self) -> None:
        super().__init__()
        text = setting("LOG_DATE_FORMAT", TIME_FORMAT)
        self._date = DateFormat(text) if text else None

    def format(self, record: logging.LogRecord) -> str:
        kind = "error" if record.levelno >= logging.WARNING else "log"
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"{self._date(record.created)}: rota {kind}: {text}" if self._date else f"rota {kind}: {text}"
