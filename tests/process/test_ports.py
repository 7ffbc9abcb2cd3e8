"""Ports: real sockets and their owners, and the last words of servers that could not have theirs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.procs.ports import Holder, Listener, diagnose, holder_of, parse_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.process.conftest import Spawn

LISTEN = (
    "import os, socket, sys, time\n"
    "family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n"
    "kind = socket.SOCK_DGRAM if sys.argv[2] == 'udp' else socket.SOCK_STREAM\n"
    "s = socket.socket(family, kind); s.bind((sys.argv[1], 0))\n"
    "if sys.argv[2] == 'tcp': s.listen()\n"
    "if len(sys.argv) > 3: os.fork()\n"
    "print(s.getsockname()[1], flush=True); time.sleep(60)"
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def listening(spawn: Spawn, address: str, kind: str = "tcp", *more: str) -> tuple[subprocess.Popen[bytes], int]:
    server = spawn(sys.executable, "-I", "-S", "-c", LISTEN, address, kind, *more, stdout=subprocess.PIPE)
    assert server.stdout is not None
    return server, int(server.stdout.readline())


@pytest.mark.parametrize(("address", "kind"), [("127.0.0.1", "tcp"), ("0.0.0.0", "tcp"), ("::1", "tcp"), ("::", "udp")])
def test_the_holder_of_a_port_is_named(spawn: Spawn, address: str, kind: str) -> None:
    server, port = listening(spawn, address, kind)
    holder = holder_of(port, protocol=kind)  # type: ignore[arg-type]
    assert holder is not None
    assert (holder.pid, holder.listener.address, holder.listener.port) == (server.pid, address, port)
    assert holder.listener.uid == os.getuid()
    host = f"[{address}]" if ":" in address else address
    assert holder.describe().endswith(f"listening on {host}:{port}{'/udp' * (kind == 'udp')}")
    assert holder.describe().startswith(os.path.basename(sys.executable) + " -I -S -c import os, ")
    assert f"(pid {server.pid}, user " in holder.describe()
    assert "\n" not in holder.describe()


def test_of_those_who_share_a_socket_the_first_is_named(spawn: Spawn) -> None:
    server, port = listening(spawn, "127.0.0.1", "tcp", "fork")
    holder = holder_of(port)
    assert holder is not None
    assert holder.pid == server.pid


def test_a_free_port_has_no_holder(listener: socket.socket) -> None:
    port: int = listener.getsockname()[1]
    listener.close()
    assert holder_of(port) is None


def test_a_connected_socket_holds_no_port(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as connection:
        assert holder_of(connection.getsockname()[1]) is None


@pytest.mark.parametrize(
    ("held", "wanted", "in_the_way"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", None, True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.2", True),
        ("::", "127.0.0.1", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_an_address_is_taken_by_itself_and_by_any(
    spawn: Spawn, held: str, wanted: str | None, in_the_way: bool
) -> None:
    _, port = listening(spawn, held)
    assert (holder_of(port, wanted) is not None) == in_the_way
    assert holder_of(port, wanted, "udp") is None


def test_whose_process_cannot_be_seen_is_said_so() -> None:
    holder = Holder(Listener("tcp", "0.0.0.0", 80, 1, 0), None, "", "root")
    assert holder.describe() == "a process of user root that cannot be seen from here, listening on 0.0.0.0:80"


def test_another_users_socket_shows_its_user(spawn: Spawn) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv")
    code = LISTEN.replace("import os, socket, sys, time\n", "import os, socket, sys, time; os.setuid(65534)\n")
    server = spawn(sys.executable, "-I", "-S", "-c", code, "127.0.0.1", "tcp", stdout=subprocess.PIPE)
    assert server.stdout is not None
    holder = holder_of(int(server.stdout.readline()))
    assert holder is not None
    # Not even root sees into it without the capability to trace (as in most containers).
    seen = server.pid if os.access(f"/proc/{server.pid}/fd/0", os.R_OK) else None
    assert (holder.pid, holder.listener.uid) == (seen, 65534)


TABLE = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 142 1 x 100 0 0 10 0
   1: 020200C0:A338 507100CB:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 346414 1 x 20 4 32 31 -1
   2: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 0 0 0 7 1
   3: torn
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is a little-endian machine's")
def test_tables_are_read() -> None:
    assert list(parse_table(TABLE, "tcp")) == [
        Listener("tcp", "127.0.0.1", 8080, 142, 1000),
        Listener("tcp", "::1", 22, 7, 0),
    ]


# --- last words -------------------------------------------------------------------------------------------------------

WORDS = {
    "uvicorn": "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
    "asyncio 6": "OSError: [Errno 98] error while attempting to bind on address ('::1', 8000, 0, 0): address already in use",
    "gunicorn": "[2026-01-02 03:04:05 +0000] [7] [ERROR] Connection in use: ('0.0.0.0', 8000)",
    "django": "Starting development server at http://127.0.0.1:8000/\nError: That port is already in use.",
    "flask": "Address already in use\nPort 8000 is in use by another program. Either identify and stop that program.",
    "twisted": "CannotListenError: Couldn't listen on any:8000: [Errno 98] Address already in use.",
    "node": "Error: listen EADDRINUSE: address already in use :::8000\n    at Server.setupListenHandle (node:net:1817:16)",
    "node 4": "Error: listen EADDRINUSE: address already in use 127.0.0.1:8000",
    "node object": "  code: 'EADDRINUSE',\n  errno: -98,\n  syscall: 'listen',\n  address: '::',\n  port: 8000\n}",
    "vite": "\x1b[31merror when starting dev server:\nError: Port \x1b[1m8000\x1b[22m is already in use\x1b[39m",
    "bun": "error: Failed to start server. Is port 8000 in use?",
    "next": " ⨯ Failed to start server\nError: listen EADDRINUSE: address already in use :::8000",
    "cra": "Something is already running on port 8000.",
    "go": "2026/01/02 12:30:45 listen tcp :8000: bind: address already in use",
    "go address": "2026/01/02 12:30:45 listen tcp 127.0.0.1:8000: bind: address already in use\nexit status 1",
    "go 6": "panic: listen tcp [::1]:8000: bind: address already in use",
    "spring": "Description:\n\nWeb server failed to start. Port 8000 was already in use.\n\nAction:",
    "jetty": "IOException: Failed to bind to 0.0.0.0/0.0.0.0:8000\nCaused by: BindException: Address already in use",
    "tomcat": "java.net.BindException: Address already in use (Bind failed) <null>:8000",
    "netty": "bind(..) failed: Address already in use: /0.0.0.0:8000",
    "nginx": "nginx: [emerg] bind() to 0.0.0.0:8000 failed (98: Address already in use)",
    "apache": "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:8000",
    "redis": "# Warning: Could not create server TCP listening socket *:8000: bind: Address already in use",
    "postgres": 'could not bind address "127.0.0.1": Address already in use\nIs another postmaster running on port 8000?',
    "mysql": "Bind on TCP/IP port: Address already in use\nDo you already have another mysqld server running on port: 8000 ?",
    "puma": 'Address already in use - bind(2) for "0.0.0.0" port 8000 (Errno::EADDRINUSE)',
    "php": "Failed to listen on localhost:8000 (reason: Address already in use)",
    "kestrel": "Failed to bind to address http://127.0.0.1:8000: address already in use.",
    "haproxy": "[ALERT] Starting frontend web: cannot bind socket (Address already in use) [0.0.0.0:8000]",
    "docker": "Bind for 0.0.0.0:8000 failed: port is already allocated",
    "memcached": "failed to listen on TCP port 8000: Address already in use",
    "erlang": "{listen_error,{{0,0,0,0},8000},eaddrinuse}",
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_the_complaints_of_servers_are_understood(words: str) -> None:
    assert diagnose(words.encode()) == 8000
    around = (
        f'12:30:45 INFO started in 1234 ms\n{words}\n  File "/app/x.py", line 4321, in main\n12:30:46 shutting down'
    )
    assert diagnose(around.encode()) == 8000


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Uvicorn running on http://127.0.0.1:8000",
        "GET http://127.0.0.1:8000/ 500",
        "12:30:45 the cache is in use",
        "email address is required, user 8000",
    ],
)
def test_without_a_complaint_there_is_nothing_to_say(words: str) -> None:
    assert diagnose(words.encode(), fallback=8000) is None


def test_a_complaint_without_a_port_is_about_the_one_the_app_was_given() -> None:
    words = b'Traceback:\n  File "/usr/lib/python3.11/socketserver.py", line 466\nOSError: [Errno 98] Address already in use'
    assert diagnose(words) is None
    assert diagnose(words, fallback=8000) == 8000
    assert diagnose(b'Os { code: 98, kind: AddrInUse, message: "Address already in use" }', 8000) == 8000


def test_the_last_complaint_counts() -> None:
    assert (
        diagnose(b"address already in use :::3000\n" + b"retrying\n" * 20 + b"address already in use :::3001\n") == 3001
    )


def test_impossible_numbers_are_no_ports() -> None:
    assert diagnose(b"address already in use 0.0.0.0:0") is None
    assert diagnose(b"address already in use 0.0.0.0:99999") is None


@given(st.binary(max_size=200))
def test_any_output_can_be_read(text: bytes) -> None:
    assert diagnose(text + b"\nEADDRINUSE: port 5") == 5
    port = diagnose(text)
    assert port is None or 0 < port < 65536


def test_the_addresses_of_visitors_are_not_taken_for_the_port() -> None:
    words = b'INFO: 127.0.0.1:54321 - "GET / HTTP/1.1" 200\nOSError: [Errno 98] Address already in use'
    assert diagnose(words) is None


def test_a_real_python_server_is_diagnosed(listener: socket.socket) -> None:
    host, port = listener.getsockname()
    code = f"import asyncio; asyncio.run(asyncio.start_server(None, {host!r}, {port}))"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert diagnose(failed.stderr) == port


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_real_node_server_is_diagnosed(listener: socket.socket) -> None:
    host, port = listener.getsockname()
    failed = subprocess.run(
        ["node", "-e", f"require('net').createServer().listen({port}, '{host}')"], capture_output=True, timeout=30
    )
    assert diagnose(failed.stderr) == port
    holder = holder_of(port)
    assert holder is not None
    assert holder.pid == os.getpid()
