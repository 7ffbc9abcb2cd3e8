"""sd_notify over a real socket, from real processes."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.talk.notify import Notice, NotifySocket, Watchdog, parse_notice
from rota.errors import RotaError
from tests.process.conftest import open_descriptors
from tests.process.manual_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.process.conftest import Spawn

SAY = (
    "import os, socket, sys; path, said, uid = sys.argv[1:]; os.setuid(int(uid));"
    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(said.encode(), path.replace('@', chr(0)))"
)

OURSELVES = str(os.getuid())


class Listener:
    """A receiving socket that keeps what it hears; every process is instance 7, but for those told otherwise."""

    def __init__(self, path: str, fd: int | None = None) -> None:
        self.heard: list[tuple[int, int, Notice]] = []
        self.strangers: set[int] = set()
        self._news = asyncio.Event()
        self.socket = NotifySocket(path, self._resolve, self._hear, fd)

    def _resolve(self, pid: int) -> int | None:
        return None if pid in self.strangers else 7

    def _hear(self, instance: int, pid: int, notice: Notice) -> None:
        self.heard.append((instance, pid, notice))
        self._news.set()

    async def hear(self, number: int) -> list[Notice]:
        async with asyncio.timeout(10):
            while len(self.heard) < number:
                self._news.clear()
                await self._news.wait()
        return [notice for _, _, notice in self.heard]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


def say(path: str, *messages: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message, "\0" + path[1:] if path.startswith("@") else path)


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"READY=1", Notice(ready=True)),
        (b"READY=1\nSTATUS=serving\nMAINPID=42\n", Notice(ready=True, status="serving", main_pid=42)),
        (b"STOPPING=1", Notice(stopping=True)),
        (b"RELOADING=1\nMONOTONIC_USEC=5", Notice(reloading=True)),
        (b"WATCHDOG=1", Notice(watchdog=True)),
        (b"WATCHDOG=trigger", Notice(failing=True)),
        (b"WATCHDOG_USEC=2500000", Notice(watchdog_interval=2.5)),
        (b"WATCHDOG_USEC=0", Notice(watchdog_interval=0.0)),
        (b"EXTEND_TIMEOUT_USEC=1000000", Notice(extend=1.0)),
        (b"ERRNO=2\nSTATUS=", Notice(errno=2, status="")),
        (b"STATUS=a=b\xff\x1b[31m", Notice(status="a=b\ufffd [31m")),
        (b"FDSTORE=1\nFDNAME=x", Notice()),
        (b"READY=2\nWATCHDOG_USEC=soon\nMAINPID=-1\nERRNO=\n=\n\nREADY", Notice()),
        (b"MAINPID=0", Notice()),
        (b"WATCHDOG_USEC=" + b"9" * 4000, Notice()),
        (b"", Notice()),
    ],
)
def test_messages_are_understood(data: bytes, expected: Notice) -> None:
    assert parse_notice(data) == expected


@given(st.binary())
def test_garbage_is_never_an_error_and_never_reaches_a_terminal(data: bytes) -> None:
    for notice in (parse_notice(data), parse_notice(b"STATUS=" + data.replace(b"\n", b""))):
        assert notice.status is None or (notice.status.isprintable() and len(notice.status) <= 500)


# --- who says it ------------------------------------------------------------------------------------------------------


def test_the_kernel_tells_who_spoke(tmp_path: Path, spawn: Spawn) -> None:
    async def scenario() -> None:
        listener = Listener(str(tmp_path / "notify"))
        child = spawn(sys.executable, "-I", "-S", "-c", SAY, listener.socket.path, "READY=1\nMAINPID=1", OURSELVES)
        await listener.hear(1)
        assert [(7, child.pid, Notice(ready=True, main_pid=1))] == listener.heard
        listener.socket.close()

    run(scenario)


def test_strangers_are_ignored(tmp_path: Path, spawn: Spawn) -> None:
    async def scenario() -> None:
        listener = Listener(str(tmp_path / "notify"))
        listener.strangers = {os.getpid()}
        say(listener.socket.path, b"READY=1")
        spawn(sys.executable, "-I", "-S", "-c", SAY, listener.socket.path, "STATUS=one of ours", OURSELVES)
        assert await listener.hear(1) == [Notice(status="one of ours")]
        listener.socket.close()

    run(scenario)


def test_a_process_of_another_user_can_speak(tmp_path: Path, spawn: Spawn) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")

    async def scenario() -> None:
        listener = Listener(f"@rota-test-{os.getpid()}")
        spawn(sys.executable, "-I", "-S", "-c", SAY, listener.socket.path, "READY=1", "65534")
        assert await listener.hear(1) == [Notice(ready=True)]
        listener.socket.close()

    run(scenario)


def test_a_flood_is_taken_in_portions_and_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        listener = Listener(str(tmp_path / "notify"))
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        sender.connect(listener.socket.path)
        sent = 0
        while sent < 500:
            try:
                sender.send(b"STATUS=%d" % sent)
                sent += 1
            except BlockingIOError:
                await asyncio.sleep(0)
        notices = await listener.hear(500)
        assert [notice.status for notice in notices] == [str(number) for number in range(500)]
        sender.close()
        listener.socket.close()

    run(scenario)


def test_descriptors_that_come_along_are_not_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        listener = Listener(str(tmp_path / "notify"))
        theirs, ours = os.pipe()
        before = open_descriptors()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(listener.socket.path)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", ours))]
            sender.sendmsg([b"READY=1\nBARRIER=1"], rights)
        assert await listener.hear(1) == [Notice(ready=True)]
        assert open_descriptors() == before
        os.close(ours)
        # The last writer is gone: whoever waits at the barrier goes on.
        assert os.read(theirs, 1) == b""
        os.close(theirs)
        listener.socket.close()

    run(scenario)


# --- the path ---------------------------------------------------------------------------------------------------------


def test_the_path_stays_valid_when_the_daemon_restarts(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "notify")
        first = Listener(path)
        first.socket.close(keep_path=True)  # as a killed daemon leaves it
        second = Listener(path)
        say(path, b"READY=1")
        assert await second.hear(1) == [Notice(ready=True)]
        second.socket.close()
        assert list(tmp_path.iterdir()) == []

    run(scenario)


def test_a_kept_socket_loses_nothing_between_two_daemons(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "notify")
        first = Listener(path)
        kept = os.dup(first.socket.fileno())  # as the keeper keeps it
        first.socket.close(keep_path=True)
        say(path, b"READY=1", b"STATUS=meanwhile")
        second = Listener(path, os.dup(kept))
        assert await second.hear(2) == [Notice(ready=True), Notice(status="meanwhile")]
        assert second.heard[0][1] == os.getpid()
        second.socket.close()
        os.close(kept)

    run(scenario)


@pytest.mark.parametrize("path", ["/" + "x" * 200, "/nowhere/at/all"])
def test_an_impossible_path_is_an_error_in_words(path: str) -> None:
    async def scenario() -> None:
        with pytest.raises(RotaError, match=r"path|listen"):
            NotifySocket(path, lambda pid: 1, lambda *_: None)

    run(scenario)


# --- the watchdog -----------------------------------------------------------------------------------------------------


def test_a_watchdog_that_is_fed_is_quiet_and_one_that_is_not_barks_once() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        barks: list[float] = []
        dog = Watchdog(2.0, clock, lambda: barks.append(clock.monotonic()))
        for _ in range(5):
            await clock.advance(1.5)
            dog.feed()
        assert barks == []
        await clock.advance(10.0)
        assert barks == [9.5]
        dog.cancel()

    run(scenario)


def test_a_watchdog_called_off_is_silent() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        barks: list[float] = []
        dog = Watchdog(2.0, clock, lambda: barks.append(clock.monotonic()))
        await clock.advance(1.0)
        dog.cancel()
        await clock.advance(10.0)
        assert barks == []

    run(scenario)
