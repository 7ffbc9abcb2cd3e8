"""A progress bar on a terminal: one line, below the log."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rota.clock import Clock
    from rota.schedule.progress import Progress

_EVERY = 0.1
"""Seconds between two drawings."""
_WIDTH = 80
"""Columns, where the terminal does not say."""
_ERASE = "\r\x1b[2K"


class Bar:
    """The progress of the run that moved last. Several threads may draw."""

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock, self._stream = clock, stream or sys.stderr
        self._lock = threading.Lock()
        self._line, self._drawn = "", 0.0
        self._run: int | None = None

    def show(self, run: int, name: str, progress: Progress) -> None:
        """Draw, if it is time to or the end."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._drawn < _EVERY and progress.done != progress.total and run == self._run:
                return
            self._run, self._drawn = run, now
            self._draw(progress.line(name, self._width() - 1))

    def clear(self, run: int) -> None:
        """The run is over."""
        with self._lock:
            if run == self._run:
                self._run = None
                self._draw("")

    def write_above(self, text: str) -> None:
        """A line of the log, with the bar kept below it."""
        with self._lock:
            line = self._line
            self._draw("")
            self._stream.write(text)
            self._draw(line)

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH

    def _draw(self, line: str) -> None:
        if line or self._line:
            self._stream.write(_ERASE + line)
        self._stream.flush()
        self._line = line


class BarHandler(logging.StreamHandler[TextIO]):
    """Log lines that do not run into a progress bar."""

    def __init__(self, bar: Bar) -> None:
        super().__init__()
        self._bar = bar

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        try:
            self._bar.write_above(self.format(record) + self.terminator)
        except Exception:
            self.handleError(record)


def is_terminal() -> bool:
    """Whether people watch stderr."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # it may be None, or closed
        return False
