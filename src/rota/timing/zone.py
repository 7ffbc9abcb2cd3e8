"""Offset windows of a time zone: from when to when (UTC) the distance to local time stays the same."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

# One instant inside the years that datetime can express in every zone; offsets beyond are taken from here.
_FIRST = int((datetime(1, 1, 3, tzinfo=UTC) - EPOCH) / SECOND)
_LAST = int((datetime(9999, 12, 29, tzinfo=UTC) - EPOCH) / SECOND)

# The shortest stay at an offset in the tz database is just under seven days (Recife 2000, Gaza 2040); looking every
# three days therefore sees every change. tests/unit/timing/test_zone.py checks this against the compiled files.
_STRIDE = 3 * 86400
_CHUNK = 128 * _STRIDE


class Window(NamedTuple):
    """A stretch of constant offset.

    Args:
        lo: first instant, seconds since the epoch.
        hi: the instant after the last.
        offset: local time minus UTC, seconds.
        before: the offset that was in force just before `lo`; greater than `offset` means wall time was repeated at
            `lo`, smaller means some was skipped.
    """

    lo: int
    hi: int
    offset: int
    before: int


class Zone:
    """Windows of one zone, found on demand by bisection and kept; zoneinfo itself does not list its changes."""

    __slots__ = ("_chunks", "_fixed", "name", "tzinfo")

    def __init__(self, name: str, tz: tzinfo) -> None:
        self.name = name
        self.tzinfo = tz
        self._chunks: dict[int, tuple[list[int], list[Window]]] = {}
        self._fixed = isinstance(tz, timezone)

    def offset(self, instant: int) -> int:
        """Seconds that local time is ahead of UTC at `instant` (seconds since the epoch)."""
        clamped = min(max(instant, _FIRST), _LAST)
        ahead = datetime.fromtimestamp(clamped, self.tzinfo).utcoffset()
        assert ahead is not None, "a tzinfo that answers no offset is refused by zone()"
        return ahead // SECOND

    def window(self, instant: int) -> Window:
        """The window that holds `instant`. A long stay at one offset may come in several windows, end to end."""
        if self._fixed:
            offset = self.offset(0)
            return Window(-(1 << 62), 1 << 62, offset, offset)
        index = instant // _CHUNK
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._chunks[index] = self._survey(index * _CHUNK)
        starts, windows = chunk
        return windows[bisect_right(starts, instant) - 1]

    def _survey(self, start: int) -> tuple[list[int], list[Window]]:
        end = start + _CHUNK
        before = self.offset(start - 1)
        offset = self.offset(start)
        edges = [(start, before)]
        for probe in range(start + _STRIDE, end + 1, _STRIDE):
            last = min(probe, end - 1)
            if self.offset(last) != offset:
                edges.append((self._change(probe - _STRIDE, last, offset), offset))
                offset = self.offset(last)
        windows = []
        for n, (lo, was) in enumerate(edges):
            hi = edges[n + 1][0] if n + 1 < len(edges) else end
            windows.append(Window(lo, hi, self.offset(lo), was))
        return [window.lo for window in windows], windows

    def _change(self, same: int, other: int, offset: int) -> int:
        """The first instant after `same` (still at `offset`) with another offset, at most `other`."""
        while other - same > 1:
            middle = (same + other) // 2
            if self.offset(middle) == offset:
                same = middle
            else:
                other = middle
        return other


@lru_cache(maxsize=256)
def _named(name: str) -> Zone:
    return Zone(name, UTC if name == "UTC" else ZoneInfo(name))


def zone(tz: str | tzinfo) -> Zone:
    """The zone for an IANA name or a tzinfo object.

    Raises:
        ValueError: no such zone; the text says what was looked for.
    """
    if isinstance(tz, str):
        try:
            return _named(tz)
        except (KeyError, ValueError, OSError) as error:  # zoneinfo: unknown, a path, a directory
            raise ValueError(f"there is no time zone {tz!r} in the tz database") from error
    key = getattr(tz, "key", None)
    if isinstance(key, str) and isinstance(tz, ZoneInfo):
        return zone(key)
    if isinstance(tz, timezone):
        return _named("UTC") if tz is UTC else Zone(str(tz), tz)
    raise ValueError(f"a time zone is an IANA name, a ZoneInfo or a datetime.timezone, not {type(tz).__name__}")
