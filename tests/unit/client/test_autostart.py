"""A daemon that cannot come up, and a connection that meets something else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from rota.client.autostart import connect, running
from rota.client.connection import Connection, failure
from rota.errors import DaemonUnreachable, NotPermitted, RotaError, TargetNotFound
from rota.home import Home
from rota.wire.codec import frame
from rota.wire.messages import Data, Done, List, Ping, Said
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    place = tempfile.mkdtemp(prefix="rota-c-", dir="/tmp")
    monkeypatch.setenv("XDG_RUNTIME_DIR", place)
    yield Home(place + "/home")
    shutil.rmtree(place)


def test_a_daemon_that_cannot_start_is_explained_by_its_log(home: Home) -> None:
    home.ensure()
    os.makedirs(home.socket + "/in-the-way")
    notes: list[str] = []
    try:
        with pytest.raises(DaemonUnreachable) as caught:
            connect(home, notes.append, within=1.5)
        assert home.log in caught.value.hint
        assert len(notes) == 1
    finally:
        pid = int(Path(home.keeper_pid).read_text())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _end_daemons(home)


def _end_daemons(home: Home) -> None:
    """The keeper was not there any more to end its daemon."""

    def left() -> list[int]:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if b"rota.daemon" in command and home.path.encode() in command:
                    found.append(int(name))
        return found

    for pid in left():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not left())


class Speaking:
    """A listener on the home's socket that sends fixed bytes to whoever asks something."""

    def __init__(self, home: Home, answer: bytes) -> None:
        home.ensure()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(home.socket)
        self._listener.listen()
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Speaking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self._answer)


def framed(*messages: object) -> bytes:
    return b"".join(frame(b"J", msgspec.json.encode(message)) for message in messages)


def test_the_result_of_a_call_is_its_last_data(home: Home) -> None:
    with Speaking(home, framed(Said("warn", "w"), Data(1), Data([2]), Done())), Connection.open(home) as connection:
        assert connection.call(Ping()) == [2]


def test_an_error_of_the_daemon_is_the_same_error_here(home: Home) -> None:
    done = Done(1, "target_not_found", "Process or Namespace x not found", "look")
    with Speaking(home, framed(done)), Connection.open(home) as connection:
        with pytest.raises(TargetNotFound) as caught:
            connection.call(List())
        assert caught.value.hint == "look"


def test_every_error_has_a_code_of_its_own() -> None:
    assert type(failure(Done(1, "not_permitted", "m"))) is NotPermitted
    unknown = failure(Done(7, "from_the_future", "m"))
    assert isinstance(unknown, RotaError)
    assert unknown.message == "m"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(b"J", b"{}"), frame(b"o", b"text"), framed(Data(1)), b""]
)
def test_an_answer_that_is_none_is_a_daemon_out_of_reach(home: Home, answer: bytes) -> None:
    with Speaking(home, answer), Connection.open(home) as connection, pytest.raises(DaemonUnreachable):
        connection.call(Ping())


def test_nobody_there(home: Home) -> None:
    assert running(home) is None
    home.ensure()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(home.socket)
    assert running(home) is None
