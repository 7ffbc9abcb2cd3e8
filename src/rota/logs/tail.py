"""The reading side of logs, for the CLI and others: the last lines, across rotated files, and then what is added.

    readers = [Reader(Origin("/home/u/.rota/logs/api-out.log", "out", "api", 0)), ...]
    for reader in readers: show(reader.tail(Query(lines=15)))         # file by file, as PM2 does
    for record in merge([reader.tail(query) for reader in readers]): ...   # or in order of time
    for records in follow(readers, sleep=time.sleep): ...             # goes on exactly where `tail` ended; never ends
    for reader in readers: reader.close()

No daemon is needed. A reader follows its log through rotation, truncation, deletion and disappearance.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import time
from collections import deque
from dataclasses import dataclass
from heapq import merge as heap_merge
from typing import TYPE_CHECKING, Final

from rota.logs.frame import Origin, Record, time_in_line
from rota.logs.index import Index
from rota.logs.reading import Line, lines_backward, lines_forward, name_of, open_rotated, rotated_files
from rota.logs.rotation import Rotated

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import IO

POLL_SECONDS: Final = 0.1
PARTIAL_SECONDS: Final = 1.0
"""How long an unfinished line is waited for before it is shown as it is."""
LINGER_SECONDS: Final = 1.5
"""How long a file that another tool renamed is still read: rota itself notices within a second."""
_AT_ONCE: Final = 1024 * 1024
_NOTHING: Final = (float("-inf"), 0, "")


@dataclass(frozen=True, slots=True)
class Query:
    """Which lines.

    Attributes:
        lines: the last so many; None: all of them.
        since: none written before that, seconds since the epoch.
        until: none written after that.
        grep: only lines in which this is found.
        unfinished: also a last line that has no newline yet. When the log is then followed, it comes later, whole.
    """

    lines: int | None = 15
    since: float | None = None
    until: float | None = None
    grep: re.Pattern[bytes] | None = None
    unfinished: bool = False

    def takes(self, line: Line, written: float | None) -> bool:
        """Whether this line is wanted. One of unknown time is, as far as time goes."""
        if not (line.whole or self.unfinished) or (self.grep is not None and not self.grep.search(line.text)):
            return False
        if written is None:
            return True
        return (self.since is None or written >= self.since - 1.0) and (self.until is None or written <= self.until)


class Reader:
    """Reads one log. `tail` once (or not at all: then from the beginning), then `poll` as often as wanted.

    Args:
        origin: the log, and whose it is.
        wall: seconds since the epoch.
        monotonic: for durations.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        self._wall = wall
        self._monotonic = monotonic
        self._fd = -1
        self._position = 0
        self._skip = 0
        self._carry = b""
        self._carry_since = 0.0
        self._left_at: float | None = None
        self._seen: tuple[float, int, str] | None = None  # the newest rotated file that `poll` has nothing to do with

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def skip(self, size: int) -> None:
        """Instead of `tail`: let `poll` begin behind the first `size` bytes, which were there before."""
        self._skip = size

    def modified(self) -> float:
        """When the log was last written, seconds since the epoch; 0.0 when there is none. PM2 shows the oldest first."""
        try:
            return os.stat(self.origin.path).st_mtime
        except OSError:
            return 0.0

    # -- the last lines ------------------------------------------------------------------------------------------------

    def tail(self, query: Query) -> list[Record]:
        """The last lines, oldest first, from as many rotated files as it takes; `poll` goes on behind them."""
        found: list[list[Record]] = []
        left = query.lines
        for part in self._newest_first(query):
            with part.file:
                if left is not None and left <= 0:
                    break
                found.append(_last(self.origin, part, query, left))
                left = None if left is None else left - len(found[-1])
        return [record for records in reversed(found) for record in records]

    def _newest_first(self, query: Query) -> Iterator[_Part]:
        self._position, self._carry = 0, b""
        self.close()
        if self._open():
            size = os.fstat(self._fd).st_size
            last = next(lines_backward(self._fd, size), None)
            self._position = last.offset if last and not last.whole else size
            yield _Part(os.fdopen(os.dup(self._fd), "rb"), size, Index.read(self.origin.path, size))
        files = rotated_files(self.origin.path)
        files = files[: self._place(files)]
        self._seen = files[-1].age_key if files else _NOTHING
        for file in reversed(files):
            if query.since is not None and file.modified < query.since:
                return
            data = open_rotated(self.origin.path, file)
            if data is not None:
                folder = os.path.dirname(os.path.realpath(self.origin.path))
                yield _Part(data, None, Index.read(os.path.join(folder, file.stem)))

    # -- what is added -------------------------------------------------------------------------------------------------

    def poll(self, grep: re.Pattern[bytes] | None = None) -> list[Record]:
        """What was added since the last call; nothing twice, nothing left out. Bounded: there may be more at once."""
        if self._fd < 0:
            found = self._catch_up()
        else:
            found, more = self._read_on()
            if not more and self._has_moved():
                found += self._switch()
        now = self._wall()
        return [
            Record(self.origin, now, line.text, line.whole) for line in found if grep is None or grep.search(line.text)
        ]

    def _open(self) -> bool:
        """A log may have been pointed at a terminal or a FIFO, or a directory lie in its place: nothing to read back."""
        self.close()
        with contextlib.suppress(OSError):
            self._fd = os.open(self.origin.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                self.close()
        return self._fd >= 0

    def _read_on(self) -> tuple[list[Line], bool]:
        """(lines, whether there is more to read at once)."""
        if os.fstat(self._fd).st_size < self._position:
            self._position, self._carry = 0, b""
        data = os.pread(self._fd, _AT_ONCE, self._position)
        self._position += len(data)
        if data:
            *lines, self._carry = (self._carry + data).split(b"\n")
            self._carry_since = self._monotonic()
            return [Line(0, text, True) for text in lines], len(data) == _AT_ONCE
        if self._carry and self._monotonic() - self._carry_since >= PARTIAL_SECONDS:
            return self._cut_carry(), False
        return [], False

    def _cut_carry(self) -> list[Line]:
        carry, self._carry = self._carry, b""
        return [Line(0, carry, False)] if carry else []

    def _has_moved(self) -> bool:
        """Whether the log is another file by now, and ours is complete."""
        try:
            facts = os.stat(self.origin.path)
        except OSError:
            return False  # nothing new yet: ours may still be written to
        ours = os.fstat(self._fd)
        if (facts.st_dev, facts.st_ino) == (ours.st_dev, ours.st_ino):
            self._left_at = None
            return False
        files = rotated_files(self.origin.path)
        if ours.st_nlink == 0 or self._place(files) < len(files):
            return True
        self._left_at = self._left_at or self._monotonic()
        return self._monotonic() - self._left_at >= LINGER_SECONDS

    def _switch(self) -> list[Line]:
        """The rest of our file, all files that came and went meanwhile, and then the log as it is now."""
        found, more = self._read_on()
        while more:
            lines, more = self._read_on()
            found += lines
        found += self._cut_carry()
        self._seen = Rotated("", name_of(self._fd), os.fstat(self._fd).st_mtime, 0).age_key
        return found + self._catch_up()

    def _catch_up(self) -> list[Line]:
        """Open the log as it is now, at its beginning; first comes what was rotated since we last had it open."""
        self._left_at = None
        if not self._open():
            return []
        self._position, self._skip = self._skip, 0
        found: list[Line] = []
        files = rotated_files(self.origin.path)
        for file in files[: self._place(files)]:
            data = open_rotated(self.origin.path, file) if self._seen and file.age_key > self._seen else None
            if data is not None:
                with data:
                    found += lines_forward(data)
        return found + self._read_on()[0]

    def _place(self, files: Sequence[Rotated]) -> int:
        """Where in this chain the open file is; behind its end when it is not a rotated one."""
        if self._fd < 0:
            return len(files)
        inode, name = os.fstat(self._fd).st_ino, name_of(self._fd)
        return next((place for place, file in enumerate(files) if file.inode == inode or file.stem == name), len(files))


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a log. `size`: where to stop; None: at its end."""

    file: IO[bytes] | gzip.GzipFile
    size: int | None
    index: Index


def _last(origin: Origin, part: _Part, query: Query, most: int | None) -> list[Record]:
    """The last `most` lines of one file that the query takes, oldest first."""
    plain = not isinstance(part.file, gzip.GzipFile)
    if plain and query.since is None and most is not None:
        size = os.fstat(part.file.fileno()).st_size if part.size is None else part.size
        found: list[Record] = []
        for line in lines_backward(part.file.fileno(), size):
            written = part.index.time_at(line.offset) or time_in_line(line.text)
            if query.takes(line, written):
                found.append(Record(origin, written, line.text, line.whole))
                if len(found) == most:
                    break
        return found[::-1]
    return list(deque(_forward(origin, part, query), maxlen=most))


def _forward(origin: Origin, part: _Part, query: Query) -> Iterator[Record]:
    start = 0 if query.since is None else part.index.offset_at(query.since)
    written: float | None = None
    for line in lines_forward(part.file, start):
        if part.size is not None and line.offset >= part.size:
            return
        # Without an index the line's own time serves, and a line without one (a traceback's) has that of the line before.
        written = part.index.time_at(line.offset) or time_in_line(line.text) or written
        if query.takes(line, written):
            yield Record(origin, written, line.text, line.whole)


def merge(logs: Iterable[Sequence[Record]]) -> list[Record]:
    """Several logs as one, by time. Within a log the order stays; a line of unknown time goes with the one before it."""

    def timed(number: int, records: Sequence[Record]) -> Iterator[tuple[float, int, Record]]:
        latest = float("-inf")
        for record in records:
            latest = max(latest, record.time or latest)
            yield latest, number, record

    streams = [timed(number, records) for number, records in enumerate(logs)]
    return [record for _, _, record in heap_merge(*streams, key=lambda item: item[:2])]


def follow(
    readers: Sequence[Reader],
    *,
    sleep: Callable[[float], object] = time.sleep,
    grep: re.Pattern[bytes] | None = None,
) -> Iterator[list[Record]]:
    """What is added to these logs, batch after batch; a batch may be empty, so that the caller can do other things too.

    Args:
        readers: looked at anew each time, so a list may grow and shrink while it is followed.
        sleep: called with POLL_SECONDS after an empty batch.
        grep: only lines in which this is found.
    """
    while True:
        batch = [record for reader in list(readers) for record in reader.poll(grep)]
        yield batch
        if not batch:
            sleep(POLL_SECONDS)
