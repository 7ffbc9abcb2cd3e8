"""PURE. A file that cannot be written: how long that is borne, when it is tried again, and how people are told."""

from __future__ import annotations

import errno
from typing import Final

RETRY_SECONDS: Final = 0.5
"""How often a file that cannot be written is tried again."""
BUSY_SECONDS: Final = 0.02
"""The same for a terminal or pipe whose reader is slow."""

_WORDS: Final = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk quota used up", errno.EIO: "disk error"}


def describe(error: OSError) -> str:
    """What is wrong with a file, in a few words for people."""
    return _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()


class Trouble:
    """The trouble one file is in, if any. Times are monotonic seconds.

    Attributes:
        error: what the last write failed with; None when it went well.
        dropped: bytes of output thrown away meanwhile.
    """

    __slots__ = ("_last", "_next_try", "_since", "dropped", "error")

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.dropped = 0
        self._since = self._last = self._next_try = float("-inf")

    def pause(self, now: float) -> None:
        """Raise the error again while it is too early to try again."""
        if self.error is not None and now < self._next_try:
            raise self.error

    def began(self, error: OSError, now: float, grace: float) -> bool:
        """A write failed. Returns whether this is a new trouble.

        One that comes back within `grace` is the old one and gets no new grace: apps would be held up for ever on a disk
        that has room for a line now and then.
        """
        new = self.is_past(now, grace)
        if new:
            self._since = now
        if now >= self._next_try:
            self._next_try = now + (BUSY_SECONDS if isinstance(error, BlockingIOError) else RETRY_SECONDS)
        self._last = now
        self.error = error
        return new

    def over(self) -> None:
        """A write went well."""
        self.error = None
        self.dropped = 0

    def is_past(self, now: float, grace: float) -> bool:
        """Whether it is over, and would be a new one if it came back."""
        return self.error is None and now - self._last > grace

    def lasts(self, now: float, grace: float) -> bool:
        """Whether it has lasted longer than `grace`. Never of a terminal or pipe: its reader is slow, not its disk full."""
        return self.error is not None and not isinstance(self.error, BlockingIOError) and now - self._since >= grace
