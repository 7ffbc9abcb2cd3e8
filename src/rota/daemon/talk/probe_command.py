"""A probe that runs a program: good when it exits 0. It and all it started are gone when the answer is there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.procs.identity import boot_id, pidfd_inode, start_ticks
from rota.daemon.procs.tree import Tree
from rota.errors import SpecError
from rota.process.state import Process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota.daemon.procs.descent import Reapers

_MARKER = "ROTA_PROBE"
_TAIL = 2048
_DEATH_LIMIT = 5.0
"""Seconds that the dying get after SIGKILL before they are left alone."""

_numbers = itertools.count()


class Surroundings(msgspec.Struct, frozen=True):
    """Where and as whom the program runs: as the app does. No repr: environments hold secrets."""

    cwd: str
    environ: Mapping[str, str]
    user: int | None = None
    group: int | None = None
    groups: Sequence[int] | None = None
    umask: int = -1

    def __repr__(self) -> str:
        return f"Surroundings(cwd={self.cwd!r})"


class CommandTarget:
    """Good when the command exits 0.

    Args:
        command: argv.
        surroundings: where it runs.
        reapers: where orphans land, to find them.

    Raises:
        SpecError: there is no command.
    """

    def __init__(self, command: Sequence[str], surroundings: Surroundings, reapers: Reapers) -> None:
        if not command:
            raise SpecError("an exec probe needs a command", 'write command = ["program", "argument"]')
        self._command, self._surroundings, self._reapers = tuple(command), surroundings, reapers

    async def ask(self) -> str:
        marker = f"{os.getpid()}:{next(_numbers)}"
        output, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            process, pidfd = self._start(marker, written)
        except OSError as error:
            os.close(output)
            return f"{self._command[0]}: {(error.strerror or str(error)).lower()}"
        finally:
            os.close(written)
        root = Process(process.pid, start_ticks(process.pid) or 0, boot_id(), pidfd_inode(pidfd))
        tree = Tree(root, f"{_MARKER}={marker}".encode(), self._reapers, pidfd)
        tail = _Tail(output)
        try:
            await _readable(pidfd)
            return self._verdict(process.wait(), tail)
        finally:
            tail.close()
            try:
                await _end(process, pidfd, tree)
            finally:
                os.close(pidfd)

    def _start(self, marker: str, output: int) -> tuple[subprocess.Popen[bytes], int]:
        place = self._surroundings
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place.cwd,
            env={**place.environ, _MARKER: marker},
            start_new_session=True,
            umask=place.umask,
            user=place.user,
            group=place.group,
            extra_groups=place.groups,
        )
        try:
            return process, os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise

    def _verdict(self, code: int, tail: _Tail) -> str:
        if code == 0:
            return ""
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        last = tail.last_line()
        return f"{self._command[0]}: {how}" + (f": {last}" if last else "")


class _Tail:
    """Reads a program's output as it comes, so that it never waits for us, and keeps the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._text = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._read)

    def last_line(self) -> str:
        """The last line with anything on it."""
        self._read()
        lines = [line.strip() for line in self._text.decode("utf-8", "replace").splitlines() if line.strip()]
        return "".join(char if char.isprintable() else " " for char in lines[-1])[:200] if lines else ""

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        if self._fd < 0:
            return
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        if data:
            self._text = (self._text + data)[-_TAIL:]
        else:
            self._loop.remove_reader(self._fd)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def arrived() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(fd, arrived)
    try:
        await future
    finally:
        loop.remove_reader(fd)


async def _end(process: subprocess.Popen[bytes], pidfd: int, tree: Tree) -> None:
    """Kill what is left, and reap."""
    if process.returncode is not None and not tree.anything_left():
        return
    tree.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DEATH_LIMIT):
            await tree.gone()
    if process.poll() is None:
        # Not even SIGKILL ends it now (a hung disk): whenever it does end, it must not stay a zombie.
        loop, late = asyncio.get_running_loop(), os.dup(pidfd)

        def reap() -> None:
            loop.remove_reader(late)
            os.close(late)
            process.poll()

        loop.add_reader(late, reap)
