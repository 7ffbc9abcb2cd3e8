"""What kind of terminal the answer goes to. Imported by the fast path: `os` only."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_A_TERMINAL_WIDTH = 300
"""What PM2 takes the width to be when output goes to a file or a pipe: nothing is cut for scripts."""


def is_terminal(fd: int = 1) -> bool:
    """Whether the descriptor is a terminal; False when it is closed."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def wants_colour(environ: Mapping[str, str], terminal: bool, forbidden: bool = False) -> bool:
    """Colour only on a terminal that can show it, and never against NO_COLOR, FORCE_COLOR=0 or --no-color."""
    if forbidden or not terminal or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return environ.get("FORCE_COLOR") not in ("0", "false")


def width(fd: int = 1) -> int:
    """Columns: COLUMNS where that is set, else the terminal's, else `NOT_A_TERMINAL_WIDTH`."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(fd).columns or NOT_A_TERMINAL_WIDTH
    except OSError:
        return NOT_A_TERMINAL_WIDTH


def write(fd: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _await_room(fd)


def _await_room(fd: int) -> None:
    """Another program made the terminal or pipe that we share non-blocking, and it is full."""
    from select import select

    select([], [fd], [])


def is_abandoned(fd: int) -> bool:
    """Whether this is a pipe that nobody reads any more (`rota logs | grep -m1 ready`), which a write would tell."""
    from select import POLLERR, poll

    asked = poll()
    asked.register(fd, 0)
    return any(event & POLLERR for _, event in asked.poll(0))
