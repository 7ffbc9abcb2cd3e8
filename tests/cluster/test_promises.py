"""What reload, --prove, scale and crashes promise beyond the ordinary case."""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from rota.errors import RotaError
from rota.process.spec import LogSpec, StopSpec
from rota.wire.messages import Act, Scale, StartSpecs
from tests.cluster.load import Load, ask, received
from tests.cluster.servers import APPS, BIN, NODE, SERVERS, free_port
from tests.cluster.test_changes import edited
from tests.cluster.test_reload import accepts, pids, reload, start, with_word
from tests.daemon.host import kill, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.host import Host

node = pytest.mark.skipif("node" not in SERVERS, reason="node is not installed")
BOTH = [pytest.param("http.server"), pytest.param("node", marks=node)]


def test_a_proof_that_fails(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port)
    eventually(lambda: accepts(port))
    shown = host.cli("reload", "web", "--prove", "--update-env", WORD="ill")
    assert shown.code == 1, shown.text
    assert "server errors" in shown.text
    assert " 0 server errors" not in shown.text


@pytest.mark.parametrize("server", BOTH)
def test_the_only_instance_crashes(host: Host, server: str) -> None:
    """The socket is rota's: nobody is refused, and who came in between is answered by the replacement."""
    port = free_port()
    start(host, server, port, 1)
    former = host.pid("web")
    eventually(lambda: accepts(port))
    kill(former, 19)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        kill(former)
        assert str(eventually(lambda: (pid := host.pid("web")) != former and pid)).encode() in received(client)


def test_a_restart_refuses_nobody(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 1)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        assert host.show(Act(action="restart", targets=("web",))).code == 0
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert not load.counts["refused"] + load.counts["lost"]


def test_ready_by_sd_notify(host: Host) -> None:
    """What it says counts, not its first listen()."""
    port = free_port()
    argv = (sys.executable, str(APPS / "notifies.py"), str(port))
    host.start("web", argv, exec_mode="cluster", instances=2, wait_ready=True, listen_timeout=2.0)
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        refused = with_word(host, "mute")
        assert refused.code == 1
        assert "did not say that it is ready within 2 s" in refused.text
        assert pids(host) == before
        assert {int(body) for body in load.bodies} <= before
        assert with_word(host, "well").code == 0
    assert load.failed == {}
    assert not pids(host) & before


def test_who_stops_it_meanwhile_has_the_last_word(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 1, listen_timeout=20.0)
    command = host.spawn_cli("reload", "web", "--update-env", env={**os.environ, "WORD": "deaf"})
    eventually(lambda: "new copy start" in host.own_log)
    assert host.show(Act(action="stop", targets=("web",))).code == 0
    out, err = command.communicate(timeout=20)
    assert command.returncode == 1
    assert "[web](0) was stopped meanwhile" in out + err
    assert "the old one stays" not in out + err
    assert host.status("web") == "stopped"


def test_more_instances_while_a_reload_is_under_way(host: Host) -> None:
    """They are of the version that the reload brings."""
    port = free_port()
    start(host, "http.server", port, 2)
    command = host.spawn_cli("reload", "web", "--update-env", env={**os.environ, "WORD": "second"})
    eventually(lambda: "new copy start" in host.own_log, every=0.002)
    assert host.show(Scale(name="web", count="4")).code == 0
    out, err = command.communicate(timeout=20)
    assert command.returncode == 0, out + err
    assert {ask(port).split()[1] for _ in range(24)} == {"second"}
    assert len(pids(host)) == 4


def test_a_number_that_autoscaling_would_undo(host: Host) -> None:
    start(host, "http.server", free_port(), 1, min_instances=1, max_instances=2)
    with pytest.raises(RotaError, match="has 1 to 2 instances, not 5: they follow its load"):
        host.call(Scale(name="web", count="5"))
    assert len(host.records()) == 1
    assert host.show(Scale(name="web", count="2")).code == 0


def test_a_broken_version_with_more_instances_changes_nothing(host: Host) -> None:
    port = free_port()
    start(host, "http.server", port, 2)
    before = pids(host)
    argv = SERVERS["http.server"](port)
    shown = edited(host, "reload", argv, exec_mode="cluster", instances=4, instances_given=True, env={"WORD": "broken"})
    assert shown.code == 1
    assert "the old one stays" in shown.text
    assert pids(host) == before
    assert len(host.records()) == 2


PRINTING = {
    "http.server": lambda port: (sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port)),
    "uvicorn": lambda port: (str(BIN / "uvicorn"), "asgi:app", "--port", str(port)),
    "gunicorn": lambda port: (str(BIN / "gunicorn"), "wsgi:app", "-b", f"127.0.0.1:{port}", "--no-control-socket"),
    "flask": lambda port: (str(BIN / "flask"), "--app", "web_flask", "run", "-p", str(port)),
}


@pytest.mark.parametrize("server", PRINTING)
def test_what_it_prints_and_how_it_stops_is_its_own(host: Host, server: str) -> None:
    """The same lines and the same end, with our file and without."""

    def story(name: str, mode: str) -> tuple[list[str], object]:
        port = free_port()
        options = {"cwd": str(APPS), "env": {"PYTHONUNBUFFERED": "1"}, "logs": LogSpec(merge=True)}
        if server == "gunicorn":  # SIGINT cuts its worker off wherever that is, and whatever it says then is chance
            options["stop"] = StopSpec(signal="SIGTERM", tree=False, kill_timeout=10.0)
        host.start(name, PRINTING[server](port), exec_mode=mode, listen_timeout=20.0, **options)
        eventually(lambda: accepts(port))
        ask(port)
        assert host.show(Act(action="stop", targets=(name,))).code == 0
        last = host.record(name).instance.last_exit
        assert last is not None
        text = re.sub(r"\d+", "#", host.log(name, "out") + host.log(name, "error"))
        assert text
        return sorted(text.splitlines()), (last.code, last.signal)

    assert story("with", "cluster") == story("without", "fork")


@node
def test_a_worker_that_closes_its_server_and_lives_on(host: Host) -> None:
    """The others get its clients."""
    port = free_port()
    host.start("web", (NODE, str(APPS / "closes.js"), str(port)), exec_mode="cluster", instances=2)
    both = {str(pid) for pid in pids(host)}
    assert {ask(port) for _ in range(12)} == both
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        closed = str(host.pid(0))
        os.kill(int(closed), 12)
        eventually(lambda: "closed" in host.log("web-out", "0"))
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert load.counts["lost"] + load.counts["refused"] == 0
    assert load.longest < 2
    assert {ask(port) for _ in range(8)} == both - {closed}


def test_an_app_that_cannot_be_spawned_leaves_nothing_open(host: Host, work: Path) -> None:
    def held() -> int:
        return len(os.listdir(f"/proc/{host.daemon}/fd")) + len(os.listdir(f"/proc/{host.keeper}/fd"))

    def fail() -> None:
        shown = host.show(StartSpecs(specs=(spec("web", (str(work / "none"),), exec_mode="cluster"),), from_file=True))
        assert shown.code == 1

    fail()
    before = held()
    for _ in range(5):
        fail()
    eventually(lambda: held() <= before)


@pytest.mark.parametrize("server", BOTH)
def test_reloads_leave_nothing_open(host: Host, server: str) -> None:
    port = free_port()
    start(host, server, port, soft_drain=0.1)

    def held() -> tuple[int, int]:
        daemon = host.daemon
        return len(os.listdir(f"/proc/{daemon}/fd")), len(os.listdir(f"/proc/{host.keeper}/fd"))

    def reloaded() -> tuple[int, int]:
        assert reload(host, parallel=2).code == 0
        eventually(lambda: len(host.processes()) == 4)
        return held()

    before = reloaded()
    for _ in range(2):
        reloaded()
    eventually(lambda: held() == before)
    host.back(host.kill_daemon())
    reloaded()
    eventually(lambda: held()[1] == before[1])
