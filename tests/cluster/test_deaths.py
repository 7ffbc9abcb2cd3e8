"""Who dies, and who notices: one instance, the daemon, the keeper, in the middle of a reload."""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from rota.daemon.cluster.listeners import source_of
from rota.errors import RotaError
from rota.process.spec import RestartSpec
from rota.process.state import process_of
from rota.wire.messages import Act, Scale
from tests.cluster.load import Load, ask, received
from tests.cluster.servers import APPS, SERVERS, free_port
from tests.cluster.test_reload import pids, reload, start
from tests.daemon.host import kill
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

BOTH = [
    pytest.param(name, marks=pytest.mark.skipif(name not in SERVERS, reason="not installed"))
    for name in ("http.server", "node")
]


@pytest.mark.parametrize("server", BOTH)
def test_a_daemon_that_dies_is_not_noticed(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port)
    before = pids(host)
    with Load(port) as load, Load(port, keep=True) as kept:
        eventually(lambda: load.answered > 20)
        host.back(host.kill_daemon())
        eventually(lambda n=load.answered: load.answered > n + 50)
        assert pids(host) == before
        assert reload(host).code == 0
    assert (load.failed, kept.failed) == ({}, {})
    assert not pids(host) & before


@pytest.mark.parametrize("server", BOTH)
def test_an_update_is_not_noticed(host: Host, server: str) -> None:
    """The daemon executes its successor: sockets, Node's channels and Python's control sockets go with it."""
    port = free_port()
    start(host, server, port)
    before = pids(host)
    with Load(port) as load, Load(port, keep=True) as kept:
        eventually(lambda: load.answered > 20)
        shown = host.cli("update")
        assert shown.code == 0, shown.text
        eventually(lambda n=load.answered, k=kept.answered: load.answered > n + 50 and kept.answered > k + 50)
        assert pids(host) == before
        assert reload(host).code == 0  # the new copies ask the new daemon, and the old ones hear it
        assert host.show(Scale(name="web", count="3")).code == 0
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert (load.failed, kept.failed) == ({}, {})
    assert not pids(host) & before


@pytest.mark.parametrize("server", BOTH)
@pytest.mark.parametrize("moment", ["new copy start", "has taken over"])
def test_a_reload_survives_the_daemon(host: Host, server: str, moment: str) -> None:
    port = free_port()
    start(host, server, port)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        command = host.spawn_cli("reload", "web")
        eventually(lambda: moment in host.own_log, every=0.002)
        host.back(host.kill_daemon())
        eventually(lambda: len(pids(host)) == 2 and not pids(host) & before, within=20)
        eventually(lambda: len(host.processes()) <= 4 + (command.poll() is None), within=20)
        command.communicate(timeout=20)
    assert load.failed == {}
    assert len(host.records()) == 2


@pytest.mark.parametrize("server", BOTH)
def test_a_reload_survives_an_update(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        command = host.spawn_cli("reload", "web")
        eventually(lambda: "new copy start" in host.own_log, every=0.002)
        assert host.cli("update").code == 0
        eventually(lambda: len(pids(host)) == 2 and not pids(host) & before, within=20)
        command.communicate(timeout=20)
    assert load.failed == {}
    assert len(host.records()) == 2


@pytest.mark.parametrize("server", BOTH)
def test_a_reload_survives_the_keeper(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        command = host.spawn_cli("reload", "web")
        eventually(lambda: "new copy start" in host.own_log, every=0.002)
        former = host.daemon
        kill(host.keeper)
        host.back(former)  # which is the keeper now
        eventually(lambda: len(pids(host)) == 2 and not pids(host) & before, within=20)
        command.communicate(timeout=20)
    assert load.failed == {}


@pytest.mark.parametrize("server", BOTH)
def test_one_of_three_crashes(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port, 3)
    before = pids(host)
    with Load(port, clients=6) as load:
        eventually(lambda: load.answered > 50)
        kill(min(before))
        eventually(lambda: len(pids(host)) == 3 and pids(host) != before)
        eventually(lambda n=load.answered: load.answered > n + 50)
    # Only what was open on the one that died; one request a client, at most.
    assert sum(load.failed.values()) <= 6
    assert not load.counts["refused"] + load.counts["lost"]


@pytest.mark.parametrize("server", BOTH)
def test_who_waited_for_the_dead_one(host: Host, server: str) -> None:
    """No replacement comes: a sibling gets them where the protocol can do that; elsewhere they learn it at once."""
    port = free_port()
    options = {"listen_timeout": 20.0, "restart": RestartSpec(autorestart=False), "cwd": str(APPS)}
    host.start("web", SERVERS[server](port), exec_mode="cluster", instances=2, **options)
    victim, other = (process_of(record.instance.actual) for record in host.records())
    assert victim is not None
    assert other is not None
    kill(victim.pid, signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10, source_address=(source_of(0), 0)))
            for _ in range(20)
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        kill(victim.pid)
        answers = [received(client) for client in clients]
    pid = str(other.pid).encode()
    assert all(pid in answer for answer in answers) if server == "node" else set(answers) == {b""}
    assert {ask(port).split()[0] for _ in range(6)} == {str(other.pid)}


@pytest.mark.parametrize("server", BOTH)
def test_one_of_two_is_stopped_under_load(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port)
    with Load(port) as load, Load(port, keep=True) as kept:
        eventually(lambda: load.answered > 20)
        assert host.show(Act(action="stop", targets=("0",))).code == 0
        eventually(lambda n=load.answered: load.answered > n + 20)
        assert host.show(Act(action="start", targets=("0",))).code == 0
        eventually(lambda: len({ask(port).split()[0] for _ in range(12)}) == 2)
    assert (load.failed, kept.failed) == ({}, {})
    assert [record.spec.restart.autorestart for record in host.records()] == [True, True]


@pytest.mark.parametrize("server", BOTH)
def test_scaling_under_load(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port, 2)
    with Load(port, clients=4) as load:
        eventually(lambda: load.answered > 20)
        for count in ("4", "1", "3"):
            assert host.show(Scale(name="web", count=count)).code == 0
            assert len(pids(host)) == int(count)
            eventually(lambda n=load.answered: load.answered > n + 30)
    assert load.failed == {}


def test_a_port_belongs_to_one_app(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port)
    with pytest.raises(RotaError):
        host.start("other", SERVERS["http.server"](port), exec_mode="cluster", restart=RestartSpec(max_restarts=1))
    assert host.status("other") == "errored"
    eventually(lambda: "Address already in use" in host.log("other-error", "2"))
    owners = {ask(port).split()[0] for _ in range(6)}
    assert owners <= {str(pid) for pid in pids(host)}


def test_a_stopped_app_gives_its_port_back(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port)
    assert host.show(Act(action="stop", targets=("web",))).code == 0
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    host.start("plain", SERVERS["http.server"](port))
    assert eventually(lambda: answers(port)) == host.pid("plain")


def answers(port: int) -> int:
    try:
        return int(ask(port).split()[0])
    except OSError:
        return 0


def test_children_of_an_app_see_nothing_of_it(host: Host) -> None:
    port = free_port()
    argv = (sys.executable, str(APPS / "parent.py"), str(port), str(free_port()))
    host.start("app", argv, exec_mode="cluster", listen_timeout=20.0, env={"PYTHONPATH": "/somewhere"})
    said = json.loads(eventually(lambda: host.log("app-out", "0")))
    for way, seen in said.items():
        assert seen == {"environ": ["PYTHONPATH=/somewhere"], "path": False, "sockets": 0}, way
    assert host.cli("reload", "app").code == 0
