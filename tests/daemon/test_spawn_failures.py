"""What cannot be started is errored, with the reason in words, and the command fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from rota.errors import RotaError
from rota.wire.messages import Act, Describe, StartSpecs
from tests.daemon.host import PROGRAM, alive, kill, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.daemon.host import Host


def refused(host: Host, argv: tuple[str, ...], **options: Any) -> str:
    """Start it; it must be errored. What was said."""
    shown = host.show(StartSpecs(specs=(spec("bad", argv, **options),), from_file=True))
    assert shown.code == 1, shown.text
    assert host.status("bad") == "errored"
    reason = host.record("bad").instance.actual.reason  # type: ignore[union-attr]
    assert reason in shown.err
    assert reason in host.show(Describe(target="bad"), width=300).out
    eventually(lambda: len(host.processes()) == 2)
    assert host.fifos() == []
    return str(reason)


def test_a_program_that_is_not_there(host: Host) -> None:
    assert refused(host, ("/nonexistent/python", "app.py")) == "/nonexistent/python not found"


def test_a_directory_that_is_not_there(host: Host) -> None:
    assert refused(host, shell("true"), cwd="/nonexistent/dir") == "directory /nonexistent/dir does not exist"


def test_a_file_that_may_not_be_executed(host: Host, work: Path) -> None:
    (work / "app").write_text("#!/bin/sh\n")
    assert refused(host, (f"{work}/app",)) == f"{work}/app may not be executed"


def test_a_shebang_that_leads_nowhere(host: Host, work: Path) -> None:
    (work / "app").write_text("#!/nonexistent/interpreter\n")
    (work / "app").chmod(0o755)
    assert "the interpreter named in the first line" in refused(host, (f"{work}/app",))


def test_a_file_that_is_no_program(host: Host, work: Path) -> None:
    (work / "app").write_bytes(b"\x00\x01\x02 not a program")
    (work / "app").chmod(0o755)
    assert "is not a program this machine can execute" in refused(host, (f"{work}/app",))


def test_a_user_and_a_group_nobody_has(host: Host) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    assert refused(host, shell("true"), uid="nobody-at-all") == "user nobody-at-all cannot be found"
    host.call(Act(action="delete", targets=("all",)))
    assert refused(host, shell("true"), gid="no-such-group") == "group no-such-group cannot be found"
    host.call(Act(action="delete", targets=("all",)))
    assert refused(host, shell("true"), uid="99999999") == "user 99999999 cannot be found"


def test_a_directory_the_user_may_not_enter(host: Host, work: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    (work / "app").write_text("#!/bin/sh\n")
    (work / "app").chmod(0o755)
    work.chmod(0o700)
    assert "may not be executed" in refused(host, (f"{work}/app",), uid="nobody")


def test_an_environment_no_system_takes(host: Host) -> None:
    assert "null byte" in refused(host, shell("true"), env={"A": "x\0y"})
    host.call(Act(action="delete", targets=("all",)))
    assert "arguments and environment are too long" in refused(host, shell("true"), env={"A": "x" * 200_000})


def test_an_app_runs_as_the_user_it_was_given(host: Host) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    host.start("api", shell("id -un; echo $HOME $USER; exec sleep 1000"), uid="nobody")
    eventually(lambda: host.log("api").startswith("nobody\n/nonexistent nobody\n"))


def test_what_was_mended_can_be_started(host: Host, work: Path) -> None:
    refused(host, (f"{work}/app",))
    (work / "app").write_text("#!/bin/sh\nexec sleep 1000\n")
    (work / "app").chmod(0o755)
    shown = host.show(Act(action="start", targets=("bad",)))
    assert (shown.code, host.status("bad")) == (0, "online")


def test_one_that_fails_does_not_keep_the_others_from_starting(host: Host) -> None:
    specs = (spec("a", shell("exec sleep 1000")), spec("bad", ("/nope",)), spec("z", shell("exec sleep 1000")))
    assert host.show(StartSpecs(specs=specs, from_file=True)).code == 1
    assert [host.status(name) for name in ("a", "bad", "z")] == ["online", "errored", "online"]


def test_restart_of_what_cannot_start_fails_too(host: Host, work: Path) -> None:
    program = work / "app"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    host.start("api", (str(program),))
    program.unlink()
    shown = host.show(Act(action="restart", targets=("api",)))
    assert (shown.code, host.status("api")) == (1, "errored")
    assert f"{program} not found" in shown.err


def test_descriptors_run_out_for_the_next_app_and_not_for_the_next_daemon(asleep: Host) -> None:
    subprocess.run(["sh", "-c", f"ulimit -n 64; exec {PROGRAM} ping"], check=True, timeout=20, capture_output=True)
    with contextlib.suppress(RotaError):
        asleep.start("app", shell("exec sleep 1000"), instances=16, exec_mode="fork")
    running = {record.instance.id: asleep.pid(record.instance.id) for record in asleep.records()}
    online = {id: pid for id, pid in running.items() if pid}
    assert 2 <= len(online) < 16
    assert "rota may open 64 files, too few for this many processes" in asleep.own_log
    asleep.back(asleep.kill_daemon())
    assert {id: asleep.pid(id) for id in online} == online
    keeper, former = asleep.keeper, asleep.daemon
    for number in (signal.SIGSTOP, signal.SIGKILL):
        kill(keeper, number)
        kill(former, number)
    eventually(lambda: not alive(keeper) and not alive(former))
    asleep.wake()
    assert {id: asleep.pid(id) for id in online} == online
