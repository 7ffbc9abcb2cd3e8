"""The sidecar of a log file: which byte was written when, so that output without times of its own can be asked for by time.

`.NAME.idx` beside NAME holds records of 16 bytes, (offset, microseconds since the epoch), little-endian: bytes from that
offset on were written at that time or later, bytes before it earlier. At most one a second, or one per 64 KiB in a rush.
The sidecar is a comfort: it is never synced, a torn or missing one costs precision and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import struct
from bisect import bisect_right
from typing import Final

_RECORD: Final = struct.Struct("<QQ")
_SANE: Final = range(946_684_800_000_000, 7_258_118_400_000_000)  # 2000 to 2200: zeros after a power cut are no time

SECONDS: Final = 1.0
BYTES: Final = 64 * 1024
RUSH_SECONDS: Final = 0.05


def index_path(log_path: str) -> str:
    """Where the sidecar of a log lies; the same for a rotated file before and after compression."""
    folder, name = os.path.split(log_path)
    return os.path.join(folder, f".{name.removesuffix('.gz')}.idx")


class IndexWriter:
    """Notes the times of one log file. It keeps no descriptor open: a thousand files would be a thousand too many."""

    __slots__ = ("_next_offset", "_next_time", "_path", "_rush_time")

    def __init__(self, log_path: str) -> None:
        self._path = index_path(log_path)
        self.restart()

    def restart(self) -> None:
        """The next bytes get a record whatever their place: the file is another one, or was cut."""
        self._next_offset = 0
        self._next_time = self._rush_time = 0.0

    def due(self, end: int, now: float) -> bool:
        """Whether bytes that end at `end` want a record; `now` is monotonic."""
        return now >= self._next_time or (end >= self._next_offset and now >= self._rush_time)

    def note(self, offset: int, wall: float, now: float) -> None:
        """Bytes at `offset` were written at `wall`. Never raises: logs matter more than their index."""
        self._next_time, self._rush_time, self._next_offset = now + SECONDS, now + RUSH_SECONDS, offset + BYTES
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                torn = os.fstat(fd).st_size % _RECORD.size
                if torn:
                    os.ftruncate(fd, os.fstat(fd).st_size - torn)
                os.write(fd, _RECORD.pack(offset, int(wall * 1e6)))
            finally:
                os.close(fd)

    def rename(self, rotated_path: str) -> None:
        """The log was renamed to `rotated_path`; its times go along."""
        with contextlib.suppress(OSError):
            os.rename(self._path, index_path(rotated_path))
        self.restart()

    def first_time(self) -> float | None:
        """When the file's first byte was written, seconds since the epoch, if known."""
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            times = Index.parse(file.read(_RECORD.size)).times
            return times[0] if times else None
        return None

    def remove(self) -> None:
        """Forget everything: the log was emptied."""
        remove_index(self._path)
        self.restart()


def remove_index(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


class Index:
    """The times of one log file, for reading."""

    __slots__ = ("offsets", "times")

    def __init__(self, offsets: list[int], times: list[float]) -> None:
        self.offsets = offsets
        self.times = times

    @classmethod
    def parse(cls, data: bytes, size: int | None = None) -> Index:
        """Read records, forgiving: a torn tail is ignored, and an offset that goes back means that the log was cut there.

        Args:
            data: the sidecar's bytes.
            size: the log's bytes, where known; records beyond it belong to what is gone.
        """
        offsets: list[int] = []
        times: list[float] = []
        whole = len(data) - len(data) % _RECORD.size
        for offset, micros in _RECORD.iter_unpack(memoryview(data)[:whole]):
            if micros not in _SANE or (size is not None and offset > size):
                continue
            while offsets and offsets[-1] >= offset:
                offsets.pop()
                times.pop()
            offsets.append(offset)
            times.append(micros / 1e6)
        return cls(offsets, times)

    @classmethod
    def read(cls, log_path: str, size: int | None = None) -> Index:
        """The index of the log at `log_path`; an empty one when there is none."""
        try:
            with open(index_path(log_path), "rb") as file:
                return cls.parse(file.read(), size)
        except OSError:
            return cls([], [])

    def time_at(self, offset: int) -> float | None:
        """When the byte at `offset` was written, about; None when nothing is known of it."""
        place = bisect_right(self.offsets, offset)
        return self.times[place - 1] if place else None

    def offset_at(self, since: float) -> int:
        """An offset before which every byte was written before `since`. 0 when nothing is known."""
        start = 0
        for offset, time in zip(self.offsets, self.times, strict=True):
            if time > since:
                break
            start = offset
        return start
