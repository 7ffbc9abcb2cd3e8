"""An app whose file was edited: what it listens on, how, and with what; by a restart and by a reload."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rota.daemon.cluster.listeners import source_of
from rota.process.state import process_of
from rota.wire.messages import StartSpecs
from tests.cluster.load import Load, ask, received
from tests.cluster.servers import APPS, NODE, SERVERS, free_port
from tests.cluster.test_reload import accepts, pids, start
from tests.daemon.host import kill, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host, Shown

HANDED = (sys.executable, str(APPS / "handed.py"))


def edited(host: Host, how: str, argv: tuple[str, ...], **options: Any) -> Shown:
    """The app as another version of its file says."""
    found = spec("web", argv, **{"cwd": str(APPS), "listen_timeout": 20.0, **options})
    return host.show(StartSpecs(specs=(found,), from_file=True, how=how))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_a_cluster_becomes_a_plain_app(host: Host, how: str) -> None:
    port = free_port()
    start(host, "http.server", port, 2)
    shown = edited(host, how, SERVERS["http.server"](port), exec_mode="fork", instances=1, instances_given=True)
    assert shown.code == 0, shown.text
    assert eventually(lambda: ask(port).split()[0] if accepts(port) else "") == str(host.pid("web"))
    assert host.record("web").instance.unstable == 0


def test_another_port(host: Host) -> None:
    port, other = free_port(), free_port()
    start(host, "http.server", port, 2)
    shown = edited(host, "restart", SERVERS["http.server"](other), exec_mode="cluster", instances=2)
    assert shown.code == 0, shown.text
    assert {ask(other).split()[0] for _ in range(12)} == {str(pid) for pid in pids(host)}
    eventually(lambda: not accepts(port))  # nobody is left waiting where nobody answers


@pytest.mark.parametrize(("how", "before"), [("restart", "127.0.0.1"), ("reload", "127.0.0.1"), ("reload", "0.0.0.0")])
def test_another_host(host: Host, how: str, before: str) -> None:
    port = free_port()
    argv = (sys.executable, str(APPS / "any_host.py"), str(port))
    options = {"exec_mode": "cluster", "instances": 2, "listen_timeout": 20.0}
    host.start("web", (*argv, before), **options)
    after = "0.0.0.0" if before == "127.0.0.1" else "127.0.0.1"
    shown = edited(host, how, (*argv, after), **options)
    assert shown.code == 0, shown.text
    assert {ask(port) for _ in range(16)} == {f"{pid} {after}" for pid in pids(host)}
    eventually(lambda: accepts(port, "127.0.0.2") == (after == "0.0.0.0"))


def test_another_socket_to_hand_over(host: Host) -> None:
    port, other = free_port(), free_port()
    host.start("web", HANDED, instances=2, listen=(f"tcp://127.0.0.1:{port}",))
    shown = edited(host, "reload", HANDED, instances=2, listen=(f"tcp://127.0.0.1:{other}",))
    assert shown.code == 0, shown.text
    assert ask(other)
    eventually(lambda: not accepts(port))


def test_another_balance(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 2)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        shown = edited(host, "reload", SERVERS["http.server"](port), exec_mode="cluster", instances=2, balance="shared")
    assert shown.code == 0, shown.text
    assert load.failed == {}


def test_a_socket_handed_over_blocks(host: Host) -> None:
    """As systemd's do: whoever just calls accept() waits in it."""
    port = free_port()
    host.start("web", (sys.executable, str(APPS / "handed_naive.py")), instances=2, listen=(f"tcp://127.0.0.1:{port}",))
    before = {str(pid) for pid in pids(host)}
    assert {eventually(lambda: ask(port)) for _ in range(12)} == before
    assert {str(pid) for pid in pids(host)} == before


@pytest.mark.skipif("node" not in SERVERS, reason="node is not installed")
def test_who_waited_for_a_dead_one_of_those_handed_sockets(host: Host) -> None:
    """Node knows nothing of rota there, so that nobody but the replacement can answer."""
    port = free_port()
    argv = (NODE, str(APPS / "handed.js"))
    host.start("web", argv, exec_mode="cluster", instances=2, listen=(f"tcp://127.0.0.1:{port}",))
    eventually(lambda: len({ask(port) for _ in range(8)}) == 2)
    victim = process_of(host.record(0).instance.actual)
    assert victim is not None
    kill(victim.pid, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", port), 10, source_address=(source_of(0), 0)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        kill(victim.pid)
        answer = received(client)
    assert answer.endswith(str(host.pid(0)).encode())
