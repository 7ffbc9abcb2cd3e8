"""Reloads under load: every server, with new connections and with kept ones, and not one failed request."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from rota.daemon.cluster.sockets import connections
from rota.process.spec import AppSpec, StopSpec
from rota.process.state import process_of
from rota.wire.messages import Act
from tests.cluster.load import Load, ask, received
from tests.cluster.servers import APPS, SERVERS, free_port
from tests.daemon.host import spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host, Shown


def start(host: Host, server: str, port: int, instances: int = 2, **options: object) -> None:
    options = {"env": {"PYTHONUNBUFFERED": "1"}, "listen_timeout": 20.0, **options}
    host.start("web", SERVERS[server](port), exec_mode="cluster", instances=instances, cwd=str(APPS), **options)


def reload(host: Host, **patch: object) -> Shown:
    return host.show(Act(action="reload", targets=("web",), **patch))  # type: ignore[arg-type]


def pids(host: Host) -> set[int]:
    found = [process_of(record.instance.actual) for record in host.records()]
    return {process.pid for process in found if process is not None}


def with_word(host: Host, word: str) -> Shown:
    """Reload with another environment."""
    return reload(host, shell_env={"PATH": os.environ["PATH"], "WORD": word})


@pytest.mark.parametrize("server", [name for name in SERVERS if name not in ("wsgiref", "tornado")])  # as Django, -fork
def test_not_one_request_fails(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port)
    before = pids(host)
    eventually(lambda: len({ask(port) for _ in range(8)}) == 2, within=20)
    with Load(port, clients=3) as fresh, Load(port, keep=True, clients=3) as kept:
        eventually(lambda: fresh.answered > 20 and kept.answered > 20, within=20)
        shown = reload(host)
        assert shown.code == 0, shown.text
        eventually(lambda n=fresh.answered, k=kept.answered: fresh.answered > n + 20 and kept.answered > k + 20)
    assert (fresh.failed, kept.failed) == ({}, {})
    assert len(pids(host)) == 2
    assert not pids(host) & before
    assert shown.out.count("✓") == 2


def test_the_instance_stays_the_same_one(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port)
    before = host.records()
    assert reload(host).code == 0
    after = host.records()
    for one, other in zip(before, after, strict=True):
        assert (one.instance.id, one.instance.number, one.instance.unique_id) == (
            other.instance.id, other.instance.number, other.instance.unique_id
        )  # fmt: skip
        assert other.instance.restarts == one.instance.restarts + 1
        assert status_of(host, other.instance.id) == "online"


def status_of(host: Host, id: int) -> str:
    return host.status(id)


@pytest.mark.parametrize("server", ["http.server", "node"])
def test_a_broken_version_changes_nothing(host: Host, server: str) -> None:
    if server not in SERVERS:
        pytest.skip("node is not installed")
    port = free_port()
    start(host, server, port)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        shown = with_word(host, "broken")
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert shown.code == 1
    assert "the old one stays" in shown.text
    assert "this version does not start" in shown.text
    assert load.failed == {}
    assert pids(host) == before
    assert len(host.records()) == 2
    # What was refused is not what the next crash starts.
    os.kill(min(before), 9)
    eventually(lambda: len(pids(host)) == 2 and pids(host) != before)
    assert "broken" not in ask(port)
    assert with_word(host, "mended").code == 0
    assert {ask(port).split()[1] for _ in range(6)} == {"mended"}


def test_a_version_that_never_becomes_ready(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, listen_timeout=1.0)
    before = pids(host)
    shown = with_word(host, "deaf")
    assert shown.code == 1
    assert "did not listen within 1 s (listen_timeout)" in shown.text
    assert "waiting for a database" in shown.text
    assert pids(host) == before
    assert set(host.processes()) >= before
    eventually(lambda: len(host.processes()) == 4)  # keeper, daemon, two instances


@pytest.mark.parametrize(("limit", "takes", "answered"), [(8.0, 1, 1), (0.1, 30, 0)])
def test_what_takes_long_is_finished_within_drain_timeout(host: Host, limit: float, takes: int, answered: int) -> None:
    port = free_port()
    start(host, "http.server", port, 1, drain_timeout=limit, stop=StopSpec(kill_timeout=0.1))
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET /slow/%d HTTP/1.0\r\n\r\n" % takes)
        eventually(lambda: connections(pids(host), [(socket.AF_INET, port)]) == 1)
        assert reload(host).code == 0
        assert received(client).count(b" 200 OK") == answered


def test_several_at_a_time(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 3)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        assert reload(host, parallel=3).code == 0
    assert load.failed == {}
    assert not pids(host) & before


def test_sockets_handed_over(host: Host) -> None:
    """LISTEN_FDS: for programs in any language; how gracefully they end is theirs."""
    port = free_port()
    argv = (*SERVERS["http.server"](0)[:1], str(APPS / "handed.py"))
    host.start("web", argv, instances=2, listen=(f"tcp://127.0.0.1:{port}",))
    before = pids(host)
    assert len({eventually(lambda: ask(port)) for _ in range(12)}) == 2
    with Load(port, clients=2) as load:
        eventually(lambda: load.answered > 20)
        assert reload(host).code == 0
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert load.failed == {}
    assert not pids(host) & before


def test_without_cluster_a_reload_is_a_restart(host: Host) -> None:
    host.start_all([spec("plain", ("sleep", "1000"))])
    before = host.pid("plain")
    assert host.show(Act(action="reload", targets=("plain",))).code == 0
    assert host.pid("plain") not in (0, before)


def test_bootstrap_can_be_switched_off(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 1, env={"ROTA_NO_INJECT": "1"}, listen_timeout=0.5)
    environ = next(iter(pids(host)))
    with open(f"/proc/{environ}/environ", "rb") as file:
        assert b"PYTHONPATH" not in file.read()
    before = pids(host)
    assert reload(host).code == 0  # one that binds by itself is restarted: beside it there is no place for a second
    assert not pids(host) & before
    eventually(lambda: accepts(port))
    assert AppSpec(name="x").exec_mode == "fork"


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0
