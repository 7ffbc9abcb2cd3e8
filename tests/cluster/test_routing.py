"""Who gets new connections: the well ones, and with affinity always the same."""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest

from rota.errors import RotaError
from rota.process.spec import ProbeSpec, RestartSpec
from rota.wire.messages import Act, Scale
from tests.cluster.load import Load, ask, received
from tests.cluster.servers import APPS, NODE, SERVERS, free_port
from tests.cluster.test_changes import edited
from tests.cluster.test_reload import accepts, pids, reload, start, with_word
from tests.daemon.host import kill
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.host import Host


node = pytest.mark.skipif("node" not in SERVERS, reason="node is not installed")


def asked(port: int, times: int = 24) -> set[str]:
    return {ask(port).split()[0] for _ in range(times)}


def test_an_instance_that_is_unwell_gets_no_connections(host: Host, work: Path) -> None:
    port = free_port()
    probe = ProbeSpec(kind="http", target=f"http://127.0.0.1:{port}/health", interval=0.05, failures=2)
    argv = (sys.executable, str(APPS / "moody.py"), str(port), str(work))
    host.start("web", argv, exec_mode="cluster", instances=3, ready=probe)
    eventually(lambda: asked(port) == {"0", "1", "2"})
    (work / "1").touch()
    eventually(lambda: asked(port) == {"0", "2"})
    (work / "0").touch()
    (work / "2").touch()
    eventually(lambda: asked(port) == {"0", "1", "2"})  # none is well: better all than nobody
    (work / "1").unlink()
    eventually(lambda: asked(port) == {"1"})
    (work / "0").unlink()
    (work / "2").unlink()
    eventually(lambda: asked(port) == {"0", "1", "2"})


def test_a_new_copy_serves_nobody_before_its_probe_passes(host: Host) -> None:
    port = free_port()
    probe = ProbeSpec(kind="http", target=f"http://127.0.0.1:{port}/health", interval=0.05, deadline=1.0)
    start(host, "http.server", port, ready=probe)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        refused = with_word(host, "sick")
        assert refused.code == 1
        assert "answered 503" in refused.text
        assert pids(host) == before
        assert {body.split()[0] for body in load.bodies} == {str(pid) for pid in before}
        assert with_word(host, "well").code == 0
        assert not pids(host) & before
        host.back(host.kill_daemon())  # which finds them on their other sockets
        assert with_word(host, "better").code == 0
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert load.failed == {}
    assert not [body for body in load.bodies if body.endswith("sick")]
    assert len(asked(port)) == 2


def test_a_line_that_comes_before_it_listens(host: Host) -> None:
    """The pattern is found once; the port comes later, and both are waited for."""
    port = free_port()
    argv = (sys.executable, str(APPS / "slow_start.py"), str(port))
    host.start(
        "web", argv, exec_mode="cluster", ready=ProbeSpec(kind="log", target="connected", interval=0.05, deadline=10)
    )
    eventually(lambda: accepts(port))
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        shown = reload(host)
        assert shown.code == 0, shown.text
    assert load.failed == {}


def test_affinity_by_address(host: Host, work: Path) -> None:
    """A client keeps its instance through a reload, which changes its socket, and moves only while that one is unwell."""
    port = free_port()
    probe = ProbeSpec(kind="http", target=f"http://127.0.0.1:{port}/health", interval=0.05, failures=2)
    argv = (sys.executable, str(APPS / "moody.py"), str(port), str(work))
    host.start("web", argv, exec_mode="cluster", instances=3, ready=probe, affinity="ip", drain_timeout=1.5)
    eventually(lambda: len({ask(port, f"127.0.0.{n}") for n in range(1, 25)}) == 3)

    def homes() -> dict[int, set[str]]:
        return {n: {ask(port, f"127.0.0.{n}") for _ in range(2)} for n in range(1, 25)}

    before = homes()
    assert all(len(found) == 1 for found in before.values())
    assert reload(host, parallel=3).code == 0
    assert homes() == before
    (work / "1").touch()
    eventually(lambda: "1" not in set.union(*homes().values()))
    assert {n: found for n, found in homes().items() if before[n] != {"1"}}.items() <= before.items()


def test_one_socket_for_all(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 2, balance="shared")
    assert asked(port)
    assert host.show(Act(action="reload", targets=("web",), prove=True)).code == 0


@node
def test_each_in_turn(host: Host) -> None:
    """balance = "rr": exactly so many connections each, through reloads and the daemon's death."""
    port = free_port()
    start(host, "node", port, 3, balance="rr")
    before = pids(host)
    assert Counter(ask(port).split()[0] for _ in range(12)) == dict.fromkeys(map(str, before), 4)
    with Load(port) as load, Load(port, keep=True) as kept:
        eventually(lambda: load.answered > 20)
        assert reload(host).code == 0
        host.back(host.kill_daemon())
        eventually(lambda n=load.answered: load.answered > n + 20)
        assert host.show(Scale(name="web", count="2")).code == 0
    assert kept.failed == {}
    assert load.counts["refused"] + load.counts["lost"] == 0
    assert load.counts["reset"] <= load.clients  # the dead daemon may have held one for each
    assert Counter(ask(port).split()[0] for _ in range(12)) == dict.fromkeys(map(str, pids(host)), 6)
    kill(min(pids(host)))
    assert ask(port)


def test_rr_is_for_node(host: Host) -> None:
    with pytest.raises(RotaError):
        start(host, "http.server", free_port(), balance="rr")
    assert "hands connections over by Node" in str(host.record("web").instance.actual)


def test_a_reload_that_is_proved(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port)
    shown = host.cli("reload", "web", "--prove")
    assert shown.code == 0, shown.text
    assert " answered, 0 refused, 0 reset, 0 lost" in shown.text


def test_there_must_be_something_to_prove(host: Host) -> None:
    host.start("idle", SERVERS["http.server"](free_port()))
    shown = host.cli("reload", "idle", "--prove")
    assert shown.code == 1
    assert "there is nothing to ask" in shown.text


def test_more_instances_when_they_are_busy(host: Host) -> None:
    """By CPU; and one that has been given up does not keep the others from being joined by a third."""
    port = free_port()
    argv = (sys.executable, str(APPS / "busy.py"), str(port))
    options = {"min_instances": 2, "max_instances": 3, "scale_cpu": 15.0, "restart": RestartSpec(max_restarts=0)}
    host.start("web", argv, exec_mode="cluster", instances=2, **options)
    kill(host.pid(1))
    host.reaches(1, "errored")
    eventually(lambda: len(host.records()) == 3, within=20)
    assert "% CPU each" in host.own_log
    assert "2 -> 3 instances" in host.own_log


def test_more_instances_when_connections_wait(host: Host) -> None:
    port = free_port()
    argv = (sys.executable, str(APPS / "slow.py"), str(port))
    options = {"min_instances": 1, "max_instances": 2, "scale_queue": 3, "scale_down_after": 0.5}
    host.start("web", argv, exec_mode="cluster", instances=1, **options)
    with Load(port, clients=8):
        eventually(lambda: len(host.records()) == 2, within=20)
    eventually(lambda: len(host.records()) == 1, within=30)
    assert "connections waiting" in host.own_log
    assert "2 -> 1 instances" in host.own_log


@node
def test_in_turn_only_those_that_are_well(host: Host, work: Path) -> None:
    """balance = "rr": a probe reaches the instance it means, and clients get those that pass it."""
    port = free_port()
    probe = ProbeSpec(kind="http", target=f"http://127.0.0.1:{port}/health", interval=0.05, failures=2)
    argv = (NODE, str(APPS / "moody.js"), str(port), str(work))
    host.start("web", argv, exec_mode="cluster", instances=3, balance="rr", ready=probe)
    eventually(lambda: asked(port) == {"0", "1", "2"})
    (work / "1").touch()
    eventually(lambda: asked(port) == {"0", "2"})
    options = {"exec_mode": "cluster", "instances": 3, "balance": "rr", "cwd": "/"}
    refused = edited(host, "reload", argv, ready=msgspec.structs.replace(probe, deadline=0.5), **options)
    assert refused.code == 1, refused.text
    assert "answered 503" in refused.text
    assert asked(port) == {"0", "2"}
    (work / "1").unlink()
    eventually(lambda: asked(port) == {"0", "1", "2"})


@node
def test_in_turn_with_affinity(host: Host) -> None:
    port = free_port()
    start(host, "node", port, 3, balance="rr", affinity="ip")
    homes = {f"127.0.0.{n}": {ask(port, f"127.0.0.{n}") for _ in range(3)} for n in range(1, 25)}
    assert all(len(found) == 1 for found in homes.values())
    assert len(set.union(*homes.values())) == 3
    assert host.show(Scale(name="web", count="2")).code == 0
    left = {str(pid) for pid in pids(host)}
    for source, found in homes.items():
        if found & left:
            assert {ask(port, source)} == found
        else:
            assert ask(port, source) in left


def test_affinity_needs_sockets_of_their_own(host: Host) -> None:
    with pytest.raises(RotaError):
        start(host, "http.server", free_port(), balance="shared", affinity="ip")
    assert "needs a socket for each instance" in str(host.record("web").instance.actual)


@node
def test_a_worker_that_may_open_no_more(host: Host) -> None:
    """balance = "rr": what one has no descriptor left for, a sibling gets; and rota keeps none of it."""
    port = free_port()
    start(host, "node", port, 2, balance="rr", limits={"NOFILE": 40})
    eventually(lambda: len({ask(port) for _ in range(4)}) == 2)
    daemon = host.daemon
    before = len(os.listdir(f"/proc/{daemon}/fd"))
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        last = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        assert received(last) == b""  # it is not left in the dark
        eventually(lambda: len(os.listdir(f"/proc/{daemon}/fd")) <= before)
    eventually(lambda: answers(port))


def answers(port: int) -> bool:
    try:
        return bool(ask(port))
    except OSError:
        return False
