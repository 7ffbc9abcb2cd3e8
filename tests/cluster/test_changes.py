"""An app whose file was edited: what it listens on, how, and with what; by a restart and by a reload."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rota.daemon.cluster.listeners import source_of
from rota.errors import RotaError
from rota.process.spec import LogSpec
from rota.process.state import process_of
from rota.wire.messages import Scale, StartSpecs
from tests.cluster.load import Load, ask, received
from tests.cluster.servers import APPS, NODE, SERVERS, free_port
from tests.cluster.test_reload import accepts, pids, reload, start
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
    eventually(lambda: len({ask(port) for _ in range(8)}) == 2)
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
    assert "another balance takes effect once it has been stopped" in shown.text
    assert load.failed == {}


def test_a_socket_handed_over_blocks(host: Host) -> None:
    """As systemd's do: whoever just calls accept() waits in it."""
    port = free_port()
    host.start("web", (sys.executable, str(APPS / "handed_naive.py")), instances=2, listen=(f"tcp://127.0.0.1:{port}",))
    before = {str(pid) for pid in pids(host)}
    assert {eventually(lambda: ask(port)) for _ in range(12)} == before
    assert {str(pid) for pid in pids(host)} == before


def test_a_socket_handed_over_stays_as_its_program_set_it(host: Host) -> None:
    """Another process that is given the same one changes nothing of it."""
    program = (
        "import os, socket, time; own = socket.socket(fileno=3); "
        "os.environ['NODE_APP_INSTANCE'] == '0' and own.setblocking(False); print('up', flush=True); time.sleep(1000)"
    )
    place = (f"tcp://127.0.0.1:{free_port()}",)
    host.start("web", (sys.executable, "-c", program), listen=place, balance="shared", logs=LogSpec(merge=True))
    eventually(lambda: host.log("web").count("up") == 1)
    assert host.show(Scale(name="web", count="2")).code == 0
    eventually(lambda: host.log("web").count("up") == 2)
    fields = Path(f"/proc/{host.pid(0)}/fdinfo/3").read_text().split()
    assert int(fields[fields.index("flags:") + 1], 8) & os.O_NONBLOCK


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


def test_another_file_code_and_interpreter(host: Host, work: Path) -> None:
    """A reload starts what is there now: the program's own text, its options, what executes it."""
    port = free_port()
    code, wrapper = work / "server.py", work / "python"
    text = (APPS / "plain.py").read_text()
    code.write_text(text)
    options = {"exec_mode": "cluster", "instances": 2, "cwd": str(work)}
    host.start("web", (sys.executable, str(code), str(port)), env={"WORD": "first"}, listen_timeout=20.0, **options)
    eventually(lambda: ask(port).endswith("first"))
    code.write_text(text.replace('b"%d %s"', 'b"%d new %s"'))
    wrapper.write_text(f'#!/bin/sh\nWORD="$WORD by another" exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        assert reload(host).code == 0  # the code alone
        assert {ask(port).partition(" ")[2] for _ in range(8)} == {"new first"}
        shown = edited(host, "reload", (str(wrapper), str(code), str(port)), env={"WORD": "second"}, **options)
        assert shown.code == 0, shown.text
        assert {ask(port).partition(" ")[2] for _ in range(8)} == {"new second by another"}
    assert load.failed == {}
    before = pids(host)
    os.kill(min(before), signal.SIGKILL)  # and it is what a crash brings back
    eventually(lambda: len(pids(host)) == 2 and pids(host) != before)
    assert {ask(port).partition(" ")[2] for _ in range(8)} == {"new second by another"}


def test_a_script_that_names_node_in_its_first_line(host: Host, work: Path) -> None:
    port = free_port()
    script = work / "server"
    script.write_text(f"#!/usr/bin/env node\n{(APPS / 'plain.js').read_text()}")
    script.chmod(0o755)
    start_argv = (str(script), str(port))
    host.start("web", start_argv, exec_mode="cluster", instances=2, cwd=str(work), listen_timeout=5.0)
    assert {ask(port).split()[0] for _ in range(8)} == {str(pid) for pid in pids(host)}
    assert reload(host).code == 0


def test_a_program_that_never_asked_is_restarted_after_an_update_too(host: Host) -> None:
    """It binds its port itself (-I keeps our file out): there can be no second copy, whichever daemon looks at it."""
    port = free_port()
    argv = (sys.executable, "-I", str(APPS / "plain.py"), str(port))
    host.start("web", argv, exec_mode="cluster", instances=1, listen_timeout=0.5)
    eventually(lambda: accepts(port))
    host.back(host.kill_daemon())
    shown = reload(host)
    assert shown.code == 0, shown.text
    assert "binds its ports itself" in shown.text


def test_a_program_that_asks_late_is_reloaded_after_an_update_too(host: Host, work: Path) -> None:
    """What it said first was said to a former daemon."""
    port, go = free_port(), work / "go"
    program = f"import os, sys, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    code = work / "late.py"
    code.write_text(program + (APPS / "plain.py").read_text())
    argv = (sys.executable, str(code), str(port))
    host.start("web", argv, exec_mode="cluster", instances=1, listen_timeout=0.3, env={"PYTHONUNBUFFERED": "1"})
    host.back(host.kill_daemon())
    go.touch()
    eventually(lambda: accepts(port))
    before = pids(host)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        shown = edited(host, "reload", argv, exec_mode="cluster", instances=1)
        assert shown.code == 0, shown.text
    assert "binds its ports itself" not in shown.text
    assert load.failed == {}
    assert not pids(host) & before


def test_a_socket_file_that_nobody_listens_on_is_replaced(host: Host, work: Path) -> None:
    """Left by a crash of everything at once."""
    path = work / "web.sock"
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(path))
    host.start("web", HANDED, instances=1, listen=(f"unix://{path}",))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert received(client).endswith(str(host.pid("web")).encode())


def test_a_socket_file_that_somebody_listens_on_is_left(host: Host, work: Path) -> None:
    path = work / "web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(RotaError):
            host.start("web", HANDED, instances=1, listen=(f"unix://{path}",))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert "Address already in use" in str(host.record("web").instance.actual)


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_another_name(host: Host, how: str) -> None:
    port = free_port()
    start(host, "http.server", port, 2)
    with Load(port) as load:
        eventually(lambda: load.answered > 20)
        shown = host.cli(how, "web", "--name", "shop")
        assert shown.code == 0, shown.text
        eventually(lambda n=load.answered: load.answered > n + 20)
    assert [record.spec.name for record in host.records()] == ["shop", "shop"]
    assert load.counts["refused"] + load.counts["lost"] == 0
    assert len({ask(port) for _ in range(12)}) == 2
