"""The socket: who may speak, what nonsense does, what a dead daemon leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.client.connection import Connection
from rota.errors import DaemonUnreachable
from rota.wire.codec import MAX_FRAME, frame
from rota.wire.messages import List, Ping
from tests.daemon.host import Host, alive, kill, shell
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")
PING = frame(b"J", b'{"verb":"ping"}')


@contextlib.contextmanager
def raw(host: Host) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(host.home.socket)
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the daemon hangs up."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0" * 64,
        os.urandom(4096),
        struct.pack(">cI", b"J", MAX_FRAME + 1),
        struct.pack(">cI", b"J", 0xFFFFFFFF),
        struct.pack(">cI", b"q", 3) + b"abc",
    ],
    ids=["http", "zeros", "random", "absurd length", "longest length", "unknown kind"],
)
def test_nonsense_ends_the_connection_and_nothing_else(host: Host, nonsense: bytes) -> None:
    daemon = host.daemon
    with raw(host) as connection:
        connection.sendall(nonsense)
        assert rest(connection) == b""
    assert host.daemon == daemon


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"verb": "dance"}',
        b'{"verb": "scale"}',
        b'{"verb": "list", "sort": 5}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_request_nobody_understands_is_answered_and_the_next_one_served(host: Host, payload: bytes) -> None:
    with raw(host) as connection:
        connection.sendall(frame(b"J", payload) + PING)
        received = b""
        while b'"pid"' not in received:
            received += connection.recv(65536)
    kind, length = struct.unpack_from(">cI", received)
    assert kind == b"J"
    done = json.loads(received[5 : 5 + length])
    assert (done["code"], done["error"]) == (1, "protocol")
    assert "does not understand" in done["message"]


def test_half_a_frame_and_goodbye(host: Host) -> None:
    daemon = host.daemon
    for length in range(1, len(PING)):
        with raw(host) as connection:
            connection.sendall(PING[:length])
    assert host.daemon == daemon


def test_a_frame_in_single_bytes(host: Host) -> None:
    with raw(host) as connection:
        for byte in PING:
            connection.sendall(bytes([byte]))
        assert b'"pid"' in connection.recv(65536)


def test_many_requests_on_one_connection_are_answered_in_order(host: Host) -> None:
    with raw(host) as connection:
        connection.sendall(PING * 200)
        received = b""
        while received.count(b'"done"') < 200:
            received += connection.recv(65536)
    assert received.count(b'"pid"') == 200


def test_a_client_that_never_reads_holds_nobody_up(host: Host) -> None:
    for index in range(20):
        host.start(f"a{index}", SLEEP, env={"X": "y" * 5_000})
    with raw(host) as silent:
        silent.setblocking(False)
        request = frame(b"J", b'{"verb":"list"}')
        with contextlib.suppress(BlockingIOError):
            for _ in range(5_000):
                silent.send(request)
        assert len(host.call(List())) == 20
        pid = host.pid("a3")
        kill(pid)
        eventually(lambda: host.pid("a3") not in (0, pid))


def test_a_client_that_hangs_up_in_the_middle_of_an_action_does_not_stop_it(host: Host) -> None:
    host.start("app", SLEEP)
    with raw(host) as connection:
        connection.sendall(frame(b"J", b'{"verb":"act","action":"stop","targets":["app"]}'))
    host.reaches("app", "stopped")


def test_two_hundred_connections_at_once(host: Host) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: host.call(Ping())["pid"], range(200)))
    assert set(answers) == {host.daemon}


def test_idle_connections_do_not_keep_rota_from_ending(host: Host) -> None:
    with raw(host) as idle, raw(host) as halfway:
        halfway.sendall(PING[:7])
        host.end()
        assert rest(idle) == b""


def test_the_socket_is_private(host: Host) -> None:
    assert Path(host.home.socket).stat().st_mode & 0o777 == 0o600
    assert host.path.stat().st_mode & 0o077 == 0


def test_another_user_is_refused_even_where_files_let_him_through(host: Host) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    host.path.chmod(0o755)
    os.chmod(host.home.socket, 0o666)
    program = f"""
import os, socket
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect({host.home.socket!r})
try:
    s.sendall({PING!r})
    print(s.recv(100))
except (ConnectionResetError, BrokenPipeError):
    print(b"")
"""
    asked = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert asked.stdout == "b''\n", asked.stderr
    assert "refused a connection of user 65534" in host.own_log
    assert host.call(Ping())


def test_what_a_dead_daemon_left_behind_is_no_obstacle(asleep: Host) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(asleep.home.socket)
    stale.close()
    (asleep.path / "rota.pid").write_text("1\n")
    (asleep.path / "keeper.pid").write_text("nonsense")
    (asleep.path / "owner.lock").touch()
    with pytest.raises(DaemonUnreachable):
        Connection.open(asleep.home)
    assert asleep.cli("list").code == 0
    assert (asleep.path / "rota.pid").read_text() == f"{asleep.daemon}\n"
    assert (asleep.path / "keeper.pid").read_text() == f"{asleep.keeper}\n"


def test_a_file_where_the_socket_should_be_is_replaced(asleep: Host) -> None:
    Path(asleep.home.socket).write_text("not a socket")
    assert asleep.cli("list").code == 0


def test_a_deep_home_has_its_socket_elsewhere(asleep: Host) -> None:
    deep = asleep.path / ("d" * 60) / ("e" * 60)
    other = Host(deep)
    try:
        other.wake()
        assert not other.home.socket.startswith(str(deep))
        other.start("app", SLEEP)
        assert other.cli("list", ROTA_HOME=str(deep)).out.count("app") == 1
        other.end()
    finally:
        other.destroy()


@pytest.mark.parametrize("length", [96, 97, 98, 99, 100, 101, 102])
def test_every_length_of_path_works(asleep: Host, length: int) -> None:
    """Around the longest path a socket may have."""
    path = asleep.path / ("x" * (length - len(str(asleep.path)) - len("//rota.sock")))
    assert len(f"{path}/rota.sock") == length
    other = Host(path)
    try:
        other.wake()
        other.end()
    finally:
        other.destroy()


def test_two_homes_do_not_know_each_other(host: Host) -> None:
    second = Path(tempfile.mkdtemp(prefix="rt-"))
    other = Host(second)
    try:
        other.wake()
        host.start("app", SLEEP)
        other.start("app", SLEEP)
        assert host.home_id != other.home_id
        assert host.pid("app") != other.pid("app")
        other.end()
        assert alive(host.pid("app"))
    finally:
        other.destroy()
        shutil.rmtree(second)
