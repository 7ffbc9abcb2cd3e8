"""Log files being written: opened at the first byte, shared, rotated, found again when somebody moved or emptied them.

Interface for the daemon, which owns exactly one `LogFiles`:

    files = LogFiles(wall=clock.now, monotonic=clock.monotonic, report=daemon_log)
    out = files.open("/home/u/.rota/logs/api-out.log", RotationPolicy(), group="api")   # counted; one object per file
    drain = Drain(fifo_fd, "out", [Sink(out, encoder(...))], files=files, name="api")   # logs/drain.py, logs/encode.py
    pump = LogPump(loop, files); pump.add(drain)                                         # logs/pump.py
    pump.remove(drain)            # the process is gone: everything into the file, FIFO closed, file released
    files.reopen()                # SIGUSR2, reloadLogs
    files.flush(path)             # `rota flush`: empty it
    files.close()

All of it runs in the loop's thread; compressing and deleting old files happen in the one thread of `housekeeping.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final, Protocol

from rota.logs.index import IndexWriter
from rota.logs.rotation import MIB, rotated_name
from rota.logs.trouble import Trouble, describe

if TYPE_CHECKING:
    from rota.logs.files import LogFiles
    from rota.logs.rotation import RotationPolicy

NAME_CHECK_SECONDS: Final = 1.0
"""How often a path is compared with the open file: another tool may have renamed it."""
OTHER_LINE_SECONDS: Final = 1.0
"""How long a stream waits for another one, which shares the file, to finish its line."""
LINE_WAIT_SECONDS: Final = 5.0
"""How long rotation waits for the end of an unfinished line."""
ROTATE_RETRY_SECONDS: Final = 60.0

_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class LineBusy(Exception):
    """Another stream is in the middle of a line of this file: try again shortly."""


class Claimant(Protocol):
    """A stream that writes to a file."""

    def mark(self, writing: bool) -> None:
        """Note, where a crash leaves it be, whether this stream wrote last to a file it shares."""
        ...


class LogFile:
    """One file that output goes to. `LogFiles.open` makes it; streams only ever append whole pieces.

    Attributes:
        path: as given.
        key: the same without links: what the registry knows it by.
        group: the app it belongs to, for the cap on the app's total.
        size: bytes in the file.
        cutting: rotation is due and waits for the end of the unfinished line.
        trouble: whether it can be written at present.
        used: monotonic time of the last use.
        shared: several streams write to it, or will.
    """

    def __init__(self, path: str, policy: RotationPolicy | None, group: str, files: LogFiles, key: str) -> None:
        self.path = path
        self.key = key
        self._policy = policy
        self.group = group
        self.users = 0
        self.shared = False
        self.size = 0
        self.cutting = False
        self.trouble = Trouble()
        self.used = 0.0
        self.rotate_at = float("inf")
        self._files = files
        self._started: float | None = None  # when its first byte was written, seconds since the epoch
        self._fd = -1
        self._regular = True
        self._inode = (0, 0)
        self._backlog = b""
        self._notes: list[bytes] = []
        self._writer: Claimant | None = None
        self._line_open: bool | None = False
        self._line_until = float("-inf")  # so long its writer has to finish an unfinished line
        self._index = IndexWriter(path)
        self._last_name = ("", 0)
        self._name_check = self._size_check = self._cut_until = self._rotate_after = 0.0

    @property
    def policy(self) -> RotationPolicy | None:
        """How it is rotated; None: never. May be set at any time."""
        return self._policy

    @policy.setter
    def policy(self, policy: RotationPolicy | None) -> None:
        self._policy = policy
        self._plan_rotation()

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    @property
    def is_null(self) -> bool:
        return self.path == os.devnull

    @property
    def spliceable(self) -> bool:
        """Whether bytes may be moved in by offset: not into a terminal or pipe."""
        return self._regular

    # -- writing: ready, claim, then append or moved -------------------------------------------------------------------

    def ready(self, now: float, wall: float) -> int:
        """Make the file fit to be written at once, and return its descriptor.

        Opens it; opens it again when it was deleted or renamed; notices when it was cut; rotates it when that is due and
        no line is unfinished. Raises OSError when it cannot be written now.
        """
        self.trouble.pause(now)
        self.used = now
        if self._fd >= 0 and self._regular:
            self._look_again(now)
        if self._fd < 0:
            self._open(now, wall)
        if not self._regular:
            self._push()
            if self._backlog:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        elif self.policy is not None and self._is_due(self.policy, now, wall):
            self._rotate_between_lines(self.policy, now, wall)
        if self._notes:
            self._write_notes(now, wall)
        return self._fd

    def claim(self, stream: Claimant, now: float, wall: float, *, mine: bool | None) -> None:
        """`stream` writes next.

        Whoever shares a file waits for the other's line to be whole, but not for ever; then it is ended for it.

        Args:
            stream: the writer.
            now: monotonic.
            wall: seconds since the epoch.
            mine: of an unfinished line that was there before anybody in this process wrote: True: the stream will go on
                with it; False: somebody else may; None: nobody will, end it.

        Raises LineBusy, and OSError of the file.
        """
        if self._writer is not stream:
            if self.line_open() and not (self._writer is None and mine):
                if now < self._line_until and not (self._writer is None and mine is None):
                    raise LineBusy
                self.append(b"\n", now, wall)
            if self._writer is not None:
                self._writer.mark(False)
            if self.shared:
                stream.mark(True)
            self._writer = stream

    def part(self, stream: Claimant) -> None:
        """`stream` writes no more: nobody needs to wait for the end of its line."""
        if self._writer is stream:
            self._line_until = float("-inf")

    def give_up_line(self) -> None:
        """The unfinished line just written is not waited for."""
        self._line_until = float("-inf")

    def append(self, data: bytes, now: float, wall: float) -> None:
        """Write all of it, or nothing and raise OSError."""
        if self._regular:
            self._append_whole(data)
        else:
            self._backlog += data
            self._push()
        self._wrote(len(data), now, wall)
        self._line_open = not data.endswith(b"\n")
        self._line_until = now + OTHER_LINE_SECONDS

    def moved(self, count: int, now: float, wall: float, *, whole_lines: bool) -> None:
        """`count` bytes were spliced in at offset `size`."""
        self._wrote(count, now, wall)
        self._line_open = False if whole_lines else None
        self._line_until = now + OTHER_LINE_SECONDS

    def line_open(self) -> bool:
        """Whether the last line is unfinished."""
        if self._line_open is None:
            self._line_open = self.size > 0 and os.pread(self._fd, 1, self.size - 1) != b"\n"
        return self._line_open

    def leave(self, note: bytes) -> None:
        """Write this line before anything else, as soon as the file takes it."""
        self._notes.append(note)

    def settle_notes(self, now: float, wall: float) -> bool:
        """Try to write the lines left here. False: some are still waiting."""
        if self._notes:
            try:
                self.ready(now, wall)
            except OSError as error:
                self.failed(error, now)
        return not self._notes

    def _write_notes(self, now: float, wall: float) -> None:
        while self._notes:
            self.append(b"\n" * self.line_open() + self._notes[0], now, wall)
            del self._notes[0]

    def _append_whole(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._fd, memoryview(data)[done:] if done else data, self.size + done)
        except OSError:
            if done:  # half a chunk would be repeated in full later: take it back
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self.size)
            raise

    def _push(self) -> None:
        """Terminal or pipe: write what it takes; the rest waits in `_backlog`."""
        with contextlib.suppress(BlockingIOError):
            while self._backlog:
                self._backlog = self._backlog[os.write(self._fd, self._backlog) :]

    def _wrote(self, count: int, now: float, wall: float) -> None:
        start = self.size
        self.size = start + count
        if self.trouble.error is not None:
            self.recovered()
        if not self._regular:
            return
        if self._index.due(self.size, now):
            self._index.note(start, wall, now)
        if start == 0:
            self._started = wall
            self._plan_rotation()

    def failed(self, error: OSError, now: float) -> None:
        """Writing failed; the stream that saw it says so."""
        if self.trouble.began(error, now, self._files.grace):
            self._files.report(f"cannot write {self.path}: {describe(error)}")
        if not isinstance(error, BlockingIOError):
            self._files.troubled[self.key] = self

    def recovered(self) -> None:
        """It can be written again."""
        self.trouble.over()
        self._files.troubled.pop(self.key, None)

    def gives_up(self, now: float) -> bool:
        """Whether output for this file is to be dropped by now."""
        return self.trouble.lasts(now, self._files.grace)

    # -- the file itself -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the descriptor; the next write opens the path anew."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._line_open = None

    def empty(self) -> None:
        """Cut the file to nothing, times included."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.path, 0)
        self._index.remove()

    def rotate_if_due(self, now: float, wall: float) -> None:
        """For a file nobody writes to just now: rotation by time does not wait for its next line."""
        if self._fd >= 0 and self._regular and wall >= self.rotate_at:
            try:
                self.ready(now, wall)
            except OSError as error:
                self.failed(error, now)

    def _open(self, now: float, wall: float) -> None:
        try:
            regular = stat.S_ISREG(os.stat(self.path).st_mode)
        except FileNotFoundError:
            regular = True
            os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
        self._adopt(os.open(self.path, (os.O_RDWR | os.O_CREAT if regular else os.O_WRONLY) | _FLAGS, 0o600), now, wall)
        self._files.opened(self)

    def _adopt(self, fd: int, now: float, wall: float) -> None:
        facts = os.fstat(fd)
        self._fd = fd
        self._regular = stat.S_ISREG(facts.st_mode)
        self._inode = (facts.st_dev, facts.st_ino)
        self._name_check = now + NAME_CHECK_SECONDS
        self._line_open = None if self._regular else False
        self._line_until = now + OTHER_LINE_SECONDS
        self.size = facts.st_size if self._regular else 0
        self.cutting = False
        self._index.restart()
        self._started = None
        if self._regular and self.size:
            self._started = min(self._index.first_time() or facts.st_mtime, wall)
        self._plan_rotation()

    def _look_again(self, now: float) -> None:
        """See what others did to the file meanwhile: deleted at once, renamed within a second, cut at once."""
        facts = os.fstat(self._fd)
        if facts.st_nlink == 0 or (now >= self._name_check and not self._still_named(now)):
            self.close()
            return
        if facts.st_size < self.size:
            self._line_open = None
            self._index.restart()
        self.size = facts.st_size

    def _still_named(self, now: float) -> bool:
        self._name_check = now + NAME_CHECK_SECONDS
        try:
            facts = os.stat(self.path)
        except OSError:
            return False
        return (facts.st_dev, facts.st_ino) == self._inode

    # -- rotation ------------------------------------------------------------------------------------------------------

    def _plan_rotation(self) -> None:
        """When the file is due by time: an empty one never."""
        self.rotate_at = float("inf")
        if self._policy is not None and self._started is not None:
            self.rotate_at = self._policy.next_after(self._started)
            self._files.rotation_moved(self.rotate_at)

    def _is_due(self, policy: RotationPolicy, now: float, wall: float) -> bool:
        if self.size == 0 or now < self._rotate_after:
            return False
        if self.cutting or wall >= self.rotate_at:
            return True
        since = now - self._size_check
        if since >= policy.check_every:
            self._size_check = now
        return policy.is_too_big(self.size, since)

    def _rotate_between_lines(self, policy: RotationPolicy, now: float, wall: float) -> None:
        if self.line_open():
            if not self.cutting:
                self.cutting, self._cut_until = True, now + LINE_WAIT_SECONDS
            if now < self._cut_until and self.size < 2 * max(policy.max_size, MIB):
                return
        self.cutting = False
        try:
            self._rotate(policy, now, wall)
        except OSError as error:
            self._rotate_after = now + ROTATE_RETRY_SECONDS
            self._files.report(f"cannot rotate {self.path}: {describe(error)}")

    def _rotate(self, policy: RotationPolicy, now: float, wall: float) -> None:
        """Rename, and put a new file in the old one's place, with the old one's rights."""
        path = os.path.realpath(self.path)
        if not self._still_named(now):
            self.close()
            self._open(now, wall)
            return
        facts = os.fstat(self._fd)
        target = self._free_name(path, policy.date()(wall))
        os.rename(path, target)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        except OSError:
            os.rename(target, path)
            raise
        with contextlib.suppress(OSError):
            os.fchmod(fd, stat.S_IMODE(facts.st_mode))
            if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, facts.st_uid, facts.st_gid)
        os.close(self._fd)
        self._index.rename(target)
        self._adopt(fd, now, wall)
        self._files.rotated(self)

    def _free_name(self, path: str, date: str) -> str:
        folder, name = os.path.split(path)
        turn = self._last_name[1] + 1 if self._last_name[0] == date else 0
        while True:
            target = os.path.join(folder, rotated_name(name, date, turn))
            if not any(os.path.lexists(target + ending) for ending in ("", ".gz", ".gz.tmp")):
                self._last_name = (date, turn)
                return target
            turn += 1
