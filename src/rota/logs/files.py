"""The registry of log files being written: one object per file however many streams share it, and what all files share."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from rota.logs.housekeeping import Housekeeper
from rota.logs.index import index_path, remove_index
from rota.logs.source import Bench
from rota.logs.writer import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.logs.rotation import RotationPolicy

GRACE_SECONDS: Final = 10.0
"""How long output waits in its pipe for a full disk to have room before it is dropped and counted."""
IDLE_SECONDS: Final = 10.0
"""A file not written to for so long may be closed when many are open."""


def _silent(text: str) -> None:
    pass


class LogFiles:
    """All log files one process writes.

    Args:
        wall: seconds since the epoch.
        monotonic: for durations.
        report: is given one line about each trouble, for the daemon's own log. Called from the housekeeping thread too.
        grace: seconds that output waits for room on a full disk.
        max_open: beyond this many open files idle ones are closed (a process is started slower by a daemon with many).
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        report: Callable[[str], None] = _silent,
        grace: float = GRACE_SECONDS,
        max_open: int = 256,
    ) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.report = report
        self.grace = grace
        self.bench = Bench()
        self.housekeeper = Housekeeper(report)
        self.troubled: dict[str, LogFile] = {}
        """Files that cannot be written at present, by key, in the order in which that began."""
        self.next_rotation = float("inf")
        self._max_open = max_open
        self._files: dict[str, LogFile] = {}
        self._known: set[str] = set()
        self._next_sweep = float("-inf")

    def open(
        self, path: str, policy: RotationPolicy | None = None, *, group: str = "", shared: bool = False
    ) -> LogFile:
        """The log file at `path` (absolute; `/dev/null` or PM2's `NULL` for none), counted. Touches the disk at its first byte.

        Args:
            path: where.
            policy: how it is rotated; None: never. The latest caller's policy holds for all who share the file.
            group: the app, for the cap on an app's total.
            shared: others will write to it too (`merge_logs`, out and error in one): lines are kept whole from the start.
                Noticed anyway once a second stream opens it.
        """
        if path == "NULL":
            path = os.devnull
        key = os.path.realpath(path)
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = LogFile(path, policy, group, self, key)
            if policy is not None and os.path.isfile(key):
                self._finish_what_was_left(key, policy, group)
        file.policy = policy
        file.users += 1
        file.shared = file.shared or shared or file.users > 1
        return file

    def release(self, file: LogFile) -> None:
        """Undo one `open`. The last one closes the file."""
        file.users -= 1
        if file.users <= 0 and file.settle_notes(self.monotonic(), self.wall()):
            self._forget(file)

    def reopen(self) -> None:
        """Open every file anew at its next byte, after somebody else rotated them."""
        for file in self._files.values():
            file.close()

    def flush(self, path: str) -> None:
        """Empty the log at `path`, whether anybody writes to it or not. Raises OSError, but not when it does not exist."""
        file = self._files.get(os.path.realpath(path))
        if file is not None:
            file.empty()
        elif os.path.exists(path):
            os.truncate(path, 0)
            remove_index(index_path(path))

    def tick(self) -> float:
        """Rotate what is due by time, write what is owed; returns when to come again, seconds since the epoch."""
        now, wall = self.monotonic(), self.wall()
        owed = False
        for file in list(self._files.values()):
            file.rotate_if_due(now, wall)
            if not file.settle_notes(now, wall):
                owed = True
            elif file.users <= 0:
                self._forget(file)
        times = [file.rotate_at for file in self._files.values() if file.is_open and file.rotate_at > wall]
        self.next_rotation = min([*times, wall + 1.0 if owed else float("inf")])
        return self.next_rotation

    def look_again(self) -> None:
        """Try those that could not be opened: it may be long before there is something to be written to them."""
        now, wall = self.monotonic(), self.wall()
        for file in list(self.troubled.values()):
            if not file.is_open:
                try:
                    file.ready(now, wall)
                except OSError as error:
                    file.failed(error, now)
                else:
                    file.recovered()

    def close(self) -> None:
        """Close every file and end the thread; a compression under way is given up and done at the next start."""
        for file in list(self._files.values()):
            self._forget(file)
        self.housekeeper.close()
        self.bench.close()

    # -- what log files tell -------------------------------------------------------------------------------------------

    def opened(self, file: LogFile) -> None:
        """A file was opened: keep the number of descriptors low."""
        if file.policy is not None and file.spliceable:
            self._finish_what_was_left(os.path.realpath(file.path), file.policy, file.group)
        now = self.monotonic()
        if now >= self._next_sweep and len(self._files) > self._max_open:
            self._next_sweep = now + 1.0
            if sum(each.is_open for each in self._files.values()) <= self._max_open:
                return
            for each in self._files.values():
                if each is not file and now - each.used > IDLE_SECONDS:
                    each.close()

    def _finish_what_was_left(self, path: str, policy: RotationPolicy, group: str) -> None:
        """Compressing that an earlier life did not come to, even if this app never writes another line."""
        if path not in self._known:
            self._known.add(path)
            self.housekeeper.mark(path, policy, group, soon=False)

    def rotated(self, file: LogFile) -> None:
        if file.policy is not None:
            self.housekeeper.mark(os.path.realpath(file.path), file.policy, file.group, soon=True)

    def rotation_moved(self, at: float) -> None:
        self.next_rotation = min(self.next_rotation, at)

    def _forget(self, file: LogFile) -> None:
        file.close()
        if self._files.get(file.key) is file:
            del self._files[file.key]
            self.troubled.pop(file.key, None)
