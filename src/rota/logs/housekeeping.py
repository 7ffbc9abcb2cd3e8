"""Old log files: compressed, and deleted when they are too many or too much. One thread, there only while there is work.

Everything it knows it reads from the directories, so whatever a crash left undone (half a compression, a file not yet
compressed) is put right when the log is next opened. It never touches a live log.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from typing import TYPE_CHECKING, Final

from rota.logs.index import index_path
from rota.logs.rotation import Rotated, beyond_keep, beyond_total, chain, live_candidates, rotated_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rota.logs.rotation import RotationPolicy

SETTLE_SECONDS: Final = 2.0
"""Starting apps comes first: looking for what an earlier life left waits this long."""
LINGER_SECONDS: Final = 5.0
"""How long the thread stays for more work."""
NICENESS: Final = 10
TEMPORARY: Final = ".gz.tmp"
_BLOCK: Final = 256 * 1024


class _Closed(Exception):
    """Told to stop."""


class Housekeeper:
    """Keeps old logs in order.

    Args:
        report: is given one line about each trouble; called from the thread.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._lock = threading.Condition()
        self._logs: dict[str, tuple[RotationPolicy, str]] = {}
        self._dirty: set[str] = set()
        self._soon = self._busy = self._closed = False
        self._thread: threading.Thread | None = None
        self._plain: dict[str, list[str]] = {}  # log -> its uncompressed rotated files; the thread's own

    def mark(self, path: str, policy: RotationPolicy, group: str, *, soon: bool) -> None:
        """Have a look at the rotated files of the log at `path` (a real path). Returns at once.

        Args:
            path: the live log.
            policy: what to keep, and whether to compress.
            group: its app, for the cap on the total; "": it stands alone.
            soon: False: when starting is over.
        """
        with self._lock:
            if self._closed:
                return
            self._logs[path] = (policy, group)
            self._dirty.add(path)
            self._soon = self._soon or soon
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rota-logs", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def settle(self, within: float) -> bool:
        """Wait until all that was marked is done; blocks the caller. False: not within that many seconds."""
        with self._lock:
            self._soon = True
            self._lock.notify_all()
            return self._lock.wait_for(lambda: not self._dirty and not self._busy, within)

    def close(self) -> None:
        """Stop at the next block; what is not done is done in the next life."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # on Linux niceness belongs to the thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while self._wait():
            try:
                self._tidy()
                while any(self._plain.values()):
                    self._compress_one()
            except _Closed:
                return
            finally:
                with self._lock:
                    self._busy = False
                    self._lock.notify_all()

    def _wait(self) -> bool:
        """Wait for marks. False: none came for a while, and the thread ends."""
        with self._lock:
            self._lock.wait_for(lambda: bool(self._dirty) or self._closed, LINGER_SECONDS)
            if self._dirty:
                self._lock.wait_for(lambda: self._soon or self._closed, SETTLE_SECONDS)
            self._busy = bool(self._dirty) and not self._closed
            if not self._busy:
                self._thread = None
            return self._busy

    def _tidy(self) -> None:
        """For all that was marked: delete what is too many or too much, and note what is to be compressed."""
        with self._lock:
            if self._closed:
                raise _Closed
            marked, self._dirty, self._soon = self._dirty, set(), False
            logs = dict(self._logs)
        groups = {logs[path][1] for path in marked} - {""}
        concerned = marked | {path for path, (_, group) in logs.items() if group in groups}
        found = _scan(concerned)
        for path in marked:
            found[path] = self._delete(path, found[path], beyond_keep(found[path], logs[path][0].keep))
        for members in _by_group(concerned, logs):
            self._cap(members, found, logs[next(iter(members))][0].max_total)
        for path in marked:
            folder = os.path.dirname(path)
            plain = [os.path.join(folder, file.name) for file in found[path] if not file.compressed]
            self._plain[path] = plain if logs[path][0].compress else []

    def _cap(self, members: set[str], found: dict[str, list[Rotated]], max_total: int) -> None:
        live = 0
        for path in members:
            with contextlib.suppress(OSError):
                live += os.stat(path).st_size
        gone = {id(file) for file in beyond_total((f for path in members for f in found[path]), live, max_total)}
        for path in members:
            found[path] = self._delete(path, found[path], [file for file in found[path] if id(file) in gone])

    def _delete(self, path: str, files: list[Rotated], gone: Iterable[Rotated]) -> list[Rotated]:
        """Delete `gone` in every form; returns what is left of `files`."""
        folder = os.path.dirname(path)
        names = {file.stem for file in gone}
        for stem in names:
            whole = os.path.join(folder, stem)
            for each in (whole, whole + ".gz", whole + TEMPORARY, index_path(whole)):
                try:
                    os.unlink(each)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._report(f"cannot delete {each}: {error.strerror}")
        return [file for file in files if file.stem not in names]

    def _compress_one(self) -> None:
        """The newest first: in a flood the older ones are deleted before their turn comes."""
        plain = next(files for files in self._plain.values() if files).pop()
        try:
            compress(plain, self._between_blocks)
        except FileNotFoundError:
            pass  # deleted meanwhile, here or by hand
        except OSError as error:
            self._report(f"cannot compress {plain}: {error.strerror}")

    def _between_blocks(self) -> None:
        """A big file takes long: deleting does not wait for it, nor does the end."""
        with self._lock:
            if self._closed:
                raise _Closed
            marked = bool(self._dirty) and self._soon
        if marked:
            self._tidy()


def _by_group(paths: set[str], logs: dict[str, tuple[RotationPolicy, str]]) -> list[set[str]]:
    groups: dict[str, set[str]] = {}
    for path in paths:
        groups.setdefault(logs[path][1] or path, set()).add(path)
    return list(groups.values())


def _scan(paths: set[str]) -> dict[str, list[Rotated]]:
    """The chains of rotated files of these logs. Every directory is read once, however many logs are in it."""
    found: dict[str, list[Rotated]] = {path: [] for path in paths}
    for folder in {os.path.dirname(path) for path in paths}:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                for name in live_candidates(entry.name):
                    path = os.path.join(folder, name)
                    if path in found:
                        _note(entry, name, found[path])
    return {path: chain(files) for path, files in found.items()}


def _note(entry: os.DirEntry[str], live_name: str, files: list[Rotated]) -> None:
    if entry.name.endswith(TEMPORARY):
        with contextlib.suppress(OSError):
            os.unlink(entry.path)
    stem = rotated_stem(live_name, entry.name)
    if stem is not None:
        with contextlib.suppress(OSError):
            facts = entry.stat(follow_symlinks=False)
            files.append(Rotated(entry.name, stem, facts.st_mtime, facts.st_size))


def compress(plain: str, between_blocks: Callable[[], None]) -> None:
    """Replace a file by its `.gz`, atomically: at every instant one of the two is whole. Keeps rights and modification time.

    Args:
        plain: the file.
        between_blocks: called now and then; whatever it raises ends the work and leaves the plain file.
    """
    temporary = plain + TEMPORARY
    try:
        with open(plain, "rb", buffering=0) as source:
            facts = os.fstat(source.fileno())
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as target:
                squeeze = zlib.compressobj(wbits=31)  # 31: with gzip's header and checksum
                while block := source.read(_BLOCK):
                    target.write(squeeze.compress(block))
                    between_blocks()
                target.write(squeeze.flush())
                target.flush()
                os.fchmod(fd, facts.st_mode & 0o777)
                with contextlib.suppress(OSError):
                    os.fchown(fd, facts.st_uid, facts.st_gid)
                os.utime(fd, ns=(facts.st_atime_ns, facts.st_mtime_ns))
                os.fsync(fd)
        if os.path.exists(plain):  # not deleted meanwhile by the number or size that may be kept
            os.rename(temporary, plain + ".gz")
            os.unlink(plain)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
