"""One stream of one process: what its FIFO holds goes to its log files, and nothing is consumed before it is written.

Three ways, the cheapest that fits:
- one file, its own, as it came: `splice` from FIFO to file. A kill at any instant loses and repeats nothing.
- a file shared with others, a listener, or rotation waiting for a line's end: look (`tee`), splice up to the last newline.
  Unfinished lines stay in the FIFO until they are whole, a second old, or too long to wait for.
- dated or JSON lines, or several files: look, transform, write, then consume. A kill repeats at most the last chunk.

A file that cannot be written (disk full) leaves the bytes in the FIFO; after the grace of `LogFiles` they are dropped and
counted, and a line in the log says so once there is room.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from rota.logs.dates import DateFormat
from rota.logs.source import FLOOD, LOOK, open_source
from rota.logs.trouble import BUSY_SECONDS, RETRY_SECONDS, describe
from rota.logs.writer import LineBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rota.logs.encode import Encoder
    from rota.logs.files import LogFiles
    from rota.logs.writer import LogFile

REST_SECONDS: Final = 0.02
"""How long a FIFO is left alone after a short read."""
PARTIAL_SECONDS: Final = 1.0
"""How old an unfinished line gets before it is written as it is."""

_RESTS: Final = (0.0, 0.001, 0.002, 0.005, 0.01, REST_SECONDS)
_WHEN: Final = DateFormat("YYYY-MM-DD HH:mm:ss Z")


class DrainResult(NamedTuple):
    """What one call of `Drain.drain` came to.

    Attributes:
        moved: bytes taken out of the FIFO.
        rest: when to call again: 0.0 at once, a number of seconds, or None when the FIFO is readable again.
        ended: no process has the FIFO open any more.
    """

    moved: int
    rest: float | None
    ended: bool = False


_EMPTY: Final = DrainResult(0, None)
_ENDED: Final = DrainResult(0, None, ended=True)


class Sink:
    """A log file as one stream sees it: in which form, and what it has missed.

    Args:
        file: from `LogFiles.open`; the sink's drain releases it.
        encoder: from `encode.encoder` or `encode.RAW`.
    """

    __slots__ = ("ahead", "drop_from", "drop_to", "dropped", "encoder", "file", "reason", "skipping")

    def __init__(self, file: LogFile, encoder: Encoder) -> None:
        self.file = file
        self.encoder = encoder
        self.ahead = 0  # bytes at the head of the FIFO that this file already has, while another has not
        self.dropped = 0
        self.drop_from = self.drop_to = 0.0
        self.reason = ""
        self.skipping = False  # the rest of a line whose beginning was dropped is dropped too

    @property
    def splices(self) -> bool:
        """Whether bytes may go from FIFO to file without being looked at."""
        return self.encoder.raw and self.file.spliceable and not self.dropped and not self.skipping

    def drop(self, data: bytes, wall: float) -> None:
        if not self.dropped:
            self.drop_from = wall
            self.reason = describe(self.file.trouble.error) if self.file.trouble.error else ""
        self.dropped += len(data)
        self.file.trouble.dropped += len(data)
        self.drop_to = wall
        self.skipping = not data.endswith(b"\n")

    def marker(self, name: str) -> bytes:
        """The line that tells of what was dropped; b"" when nothing was."""
        if not self.dropped:
            return b""
        text = (
            f"[rota] dropped {self.dropped} bytes of {name}: {self.reason} "
            f"(from {_WHEN(self.drop_from)} to {_WHEN(self.drop_to)})\n"
        )
        return self.encoder.encode(text.encode(), self.drop_to, True)


class Drain:
    """One FIFO on its way to its files. Call `drain` when the FIFO is readable, and again as the result says.

    Args:
        fd: the FIFO, opened O_RDONLY | O_NONBLOCK; closed by `close`.
        kind: `out` or `err`.
        sinks: where it goes; none (or only /dev/null): thrown away.
        files: the registry the sinks' files come from.
        name: the app or instance, for the line that tells of dropped bytes.
        continues: the process was already writing before this daemon: an unfinished line in the file is its own.

    Attributes:
        taps: called with each piece (whole lines, or an unfinished one that was given up waiting for) once it is written.
    """

    def __init__(
        self,
        fd: int,
        kind: str,
        sinks: Iterable[Sink],
        *,
        files: LogFiles,
        name: str,
        continues: bool = False,
    ) -> None:
        self.fd = fd
        self.kind = kind
        self.name = name
        self.taps: list[Callable[[bytes], None]] = []
        self._given = list(sinks)
        self._sinks = [sink for sink in self._given if not sink.file.is_null]
        self._files = files
        self._continues = continues
        self._source = open_source(fd, files.bench)
        self._level = len(_RESTS) - 1
        self._held = 0
        self._held_until = 0.0

    def drain(self, *, final: bool = False) -> DrainResult:
        """Move what is there, at most FLOOD bytes, LOOK where lines matter. Raises nothing of the files'.

        `final`: an unfinished line is not waited for.
        """
        now, wall = self._files.monotonic(), self._files.wall()
        try:
            sink = self._sinks[0] if len(self._sinks) == 1 and not self.taps else None
            if sink is not None and sink.splices and not sink.file.shared:
                result = self._splice(sink, now, wall)
                if result is not None:
                    return result
            return self._by_line(now, wall, final)
        except BlockingIOError:
            return self._settle(now, wall)

    def finish(self) -> None:
        """The process is gone: write what is left, whole or not. What no file takes now is dropped, and counted there."""
        limit = self._source.waiting() + self._source.capacity  # a stray that holds the FIFO could write for ever
        while limit > 0:
            result = self.drain(final=True)
            if result.ended or (result.rest is None and not result.moved):
                break
            if not result.moved:
                self._abandon()
                break
            limit -= result.moved
        for sink in self._sinks:
            if sink.dropped:
                sink.file.leave(sink.marker(self._title))
                sink.dropped = 0

    def close(self) -> None:
        """Close the FIFO and release the files."""
        if self.fd >= 0:
            self._source.leave()
            os.close(self.fd)
            self.fd = -1
            for sink in self._given:
                sink.file.part(self)
                self._files.release(sink.file)

    @property
    def waiting(self) -> int:
        """Bytes in the FIFO."""
        return self._source.waiting()

    @property
    def held(self) -> int:
        """Bytes in the FIFO that are the beginning of a line, and wait for its end."""
        return self._held

    def mark(self, writing: bool) -> None:
        """Note on the FIFO itself, in its sticky bit, that this stream wrote last to a file it shares.

        A daemon killed inside `splice` leaves half a line in the file and the other half in this FIFO. The next daemon must
        know which of the streams that share the file goes on with that line; the FIFO outlives the daemon, so does the bit.
        """
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(os.fstat(self.fd).st_mode)
            os.fchmod(self.fd, mode | stat.S_ISVTX if writing else mode & ~stat.S_ISVTX)

    def _owns_line(self, file: LogFile) -> bool | None:
        """Whose a line is that was unfinished before anybody here wrote: see `LogFile.claim`."""
        if not file.shared:
            return self._continues or None
        return self._continues and bool(os.fstat(self.fd).st_mode & stat.S_ISVTX)

    @property
    def _title(self) -> str:
        return f"{self.name} {'stderr' if self.kind == 'err' else 'stdout'}"

    # -- the short way -------------------------------------------------------------------------------------------------

    def _splice(self, sink: Sink, now: float, wall: float) -> DrainResult | None:
        """FIFO to file, unseen. None: it has to go line by line."""
        file = sink.file
        if not file.is_open and not self._source.waiting():
            return None  # nothing has come yet: no file is made for that
        try:
            fd = file.ready(now, wall)
            if file.cutting or not file.spliceable:
                return None
            file.claim(self, now, wall, mine=self._owns_line(file))
            moved = self._source.move(fd, FLOOD, file.size)
        except LineBusy:
            return DrainResult(0, BUSY_SECONDS)
        except BlockingIOError:
            raise
        except OSError as error:
            file.failed(error, now)
            return None if file.gives_up(now) else DrainResult(0, RETRY_SECONDS)
        if not moved:
            return _ENDED
        file.moved(moved, now, wall, whole_lines=False)
        return self._pace(moved, self._source.capacity)

    # -- line by line --------------------------------------------------------------------------------------------------

    def _by_line(self, now: float, wall: float, final: bool) -> DrainResult:
        if self._held and not final and now < self._held_until and self._source.waiting() == self._held:
            return DrainResult(0, REST_SECONDS)
        buffer, count = self._source.look()
        if not count:
            return _ENDED
        cut = self._cut(buffer, count, now, final)
        if not cut:
            return DrainResult(0, REST_SECONDS)
        self._held = 0
        data = bytes(memoryview(buffer)[:cut])
        done = self._deliver(data, now, wall)
        if not data.endswith(b"\n"):
            for sink in self._sinks:
                sink.file.give_up_line()
        if not done:
            slow = all(isinstance(sink.file.trouble.error, BlockingIOError | None) for sink in self._sinks)
            return DrainResult(0, BUSY_SECONDS if slow else RETRY_SECONDS)
        return self._pace(done, min(self._source.capacity, LOOK))

    def _cut(self, buffer: bytearray, count: int, now: float, final: bool) -> int:
        """How many bytes to take: whole lines, or all of an unfinished one that is not worth waiting for; 0: wait."""
        if not self._sinks and not self.taps:
            return count
        first_only = any(sink.file.cutting for sink in self._sinks)
        cut = (buffer.find(b"\n", 0, count) if first_only else buffer.rfind(b"\n", 0, count)) + 1
        if cut or final:
            return cut or count
        # A pipe may be full at half its bytes, since its pages need not be. So a long line does not wait to be whole, or its
        # writer might wait for us while we wait for it.
        if count * 4 >= self._source.capacity:
            self._source.grow()
        if count * 4 >= self._source.capacity or count == LOOK:
            return count
        if not self._held:
            self._held_until = now + PARTIAL_SECONDS
        self._held = count
        return 0 if now < self._held_until else count

    def _deliver(self, data: bytes, now: float, wall: float) -> int:
        """Give `data`, the head of the FIFO, to every file, then consume it. Returns how much of it that was."""
        mover = next((sink for sink in self._sinks if sink.splices and not sink.ahead), None)
        done = len(data)
        for sink in self._sinks:
            if sink is not mover:
                done = min(done, self._put(sink, data, now, wall))
        if mover is None:
            self._source.drop(done)
        elif done:
            done = self._move_lines(mover, data[:done], now, wall)
        for sink in self._sinks:
            sink.ahead = max(sink.ahead - done, 0)
        if done:
            for tap in list(self.taps):
                tap(data[:done])
        return done

    def _put(self, sink: Sink, data: bytes, now: float, wall: float) -> int:
        """Write what of `data` this file does not have yet. Returns how much of `data` needs no more writing to it."""
        piece = data[sink.ahead :]
        skip = (piece.find(b"\n") + 1 or len(piece)) if sink.skipping else 0
        if len(piece) > skip:
            try:
                self._write(sink, piece, skip, now, wall)
            except LineBusy:
                return sink.ahead
            except OSError as error:
                sink.file.failed(error, now)
                if not sink.file.gives_up(now):
                    return sink.ahead
                sink.drop(piece, wall)
        elif piece:
            sink.drop(piece, wall)
        sink.ahead = max(sink.ahead, len(data))
        return len(data)

    def _write(self, sink: Sink, piece: bytes, skip: int, now: float, wall: float) -> None:
        """Append `piece` without its first `skip` bytes, after the line about what was dropped; all of it or nothing."""
        file, encoder = sink.file, sink.encoder
        file.ready(now, wall)
        # A dated chunk that a killed daemon wrote half is repeated in full: on a line of its own.
        file.claim(self, now, wall, mine=self._owns_line(file) if encoder.raw else None)
        fresh = not file.line_open()
        marker = b""
        if sink.dropped:
            sink.dropped += skip
            try:
                marker = sink.marker(self._title) if fresh else b"\n" + sink.marker(self._title)
            finally:
                sink.dropped -= skip
        file.append(marker + encoder.encode(piece[skip:], wall, fresh or bool(marker)), now, wall)
        sink.dropped = 0
        sink.skipping = False

    def _move_lines(self, sink: Sink, data: bytes, now: float, wall: float) -> int:
        """Splice `data`, which is the head of the FIFO. Returns how much of it is dealt with."""
        file, left = sink.file, len(data)
        try:
            fd = file.ready(now, wall)
            file.claim(self, now, wall, mine=self._owns_line(file))
            while left:
                moved = self._source.move(fd, left, file.size)
                left -= moved
                file.moved(moved, now, wall, whole_lines=not left and data.endswith(b"\n"))
        except LineBusy:
            return 0
        except OSError as error:
            file.failed(error, now)
            if file.gives_up(now):
                sink.drop(data[len(data) - left :], wall)
                self._source.drop(left)
                left = 0
        return len(data) - left

    # -- pace and trouble ----------------------------------------------------------------------------------------------

    def _pace(self, moved: int, most: int) -> DrainResult:
        """A full FIFO is read again at once, and sooner next time; a nearly empty one is left alone, longer next time.

        Full is half of `most`, what one read can get: the pages of a full pipe need not be.
        """
        if moved * 2 >= most:
            self._source.grow()
            self._level = max(self._level - 2, 0)
            return DrainResult(moved, 0.0)
        if moved * 8 < most:
            self._level = min(self._level + 1, len(_RESTS) - 1)
        return DrainResult(moved, _RESTS[self._level])

    def _settle(self, now: float, wall: float) -> DrainResult:
        """The FIFO is empty. If a file still owes the line about dropped bytes, try that."""
        self._held = 0
        rest = None
        for sink in self._sinks:
            if sink.dropped:
                try:
                    sink.file.ready(now, wall)
                    sink.file.append(b"\n" * sink.file.line_open() + sink.marker(self._title), now, wall)
                    sink.dropped = 0
                except OSError as error:
                    sink.file.failed(error, now)
                    rest = RETRY_SECONDS
        return _EMPTY if rest is None else DrainResult(0, rest)

    def _abandon(self) -> None:
        """No file takes the rest and nobody will come for it: count it as dropped."""
        wall = self._files.wall()
        while True:
            try:
                buffer, count = self._source.look()
            except BlockingIOError:
                return
            if not count:
                return
            data = bytes(memoryview(buffer)[:count])
            for sink in self._sinks:
                if len(data) > sink.ahead:
                    sink.drop(data[sink.ahead :], wall)
                sink.ahead = max(sink.ahead - count, 0)
            self._source.drop(count)
