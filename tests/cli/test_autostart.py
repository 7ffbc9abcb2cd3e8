"""Finding or starting the daemon: once, whatever was left lying about."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import SLEEPER, alive
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


def starts(rota: Rota) -> int:
    return (rota.home / "rota.log").read_text().count(" up, pid ")


def test_commands_that_race_start_one_daemon(rota: Rota) -> None:
    racing = [rota.popen("jlist") for _ in range(6)]
    outcomes = [process.communicate(timeout=60) for process in racing]
    assert [process.returncode for process in racing] == [0] * 6, outcomes
    assert {out for out, _ in outcomes} == {"[]"}
    assert starts(rota) == 1
    assert sum("Starting the rota daemon" in err for _, err in outcomes) == 1


def test_stale_files_confuse_nobody(rota: Rota) -> None:
    rota.home.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(rota.home / "rota.sock"))
    for name in ("rota.pid", "keeper.pid"):
        (rota.home / name).write_text(f"{os.getpid()}\n")  # a process that is somebody else's
    (rota.home / "owner.lock").touch()
    try:
        assert rota.ok("jlist") == "[]"
    finally:
        # Had the daemon not come up, the test would take itself for it.
        assert os.getpid() not in rota.pids()


def test_kill_starts_nothing_and_ends_everything(rota: Rota) -> None:
    assert "nothing to stop" in rota.ok("kill")
    assert not rota.home.exists()
    rota.write("app.py", SLEEPER)
    rota.ok("start", "app.py")
    pids = rota.pids()
    assert len(pids) == 2
    assert "All Applications Stopped" in rota.ok("kill")
    eventually(lambda: not any(map(alive, pids)))
    assert rota.records() == []


def test_a_kill_and_the_next_command_do_not_trip_over_each_other(rota: Rota) -> None:
    for _ in range(3):
        assert rota.ok("jlist") == "[]"
        rota.ok("kill")


def test_what_ran_comes_back_after_a_shutdown_and_what_was_stopped_does_not(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    rota.ok("start", "app.py", "-n", "stays")
    rota.ok("start", "app.py", "-n", "rests")
    rota.ok("stop", "rests")
    pids = rota.pids()
    rota.ok("shutdown")
    eventually(lambda: not any(map(alive, pids)))
    assert "nothing to stop" in rota.ok("shutdown")
    assert rota.ok("resurrect", "--dry-run") == "stays (0): comes back\nrests (0): stays stopped\n"
    assert rota.pids() == [], "a dry run brings nothing back"
    rota.ok("resurrect")
    assert rota.states() == {"stays": "online", "rests": "stopped"}


def test_a_home_that_cannot_be_is_one_line(rota: Rota) -> None:
    error = rota.fails("list", env={"ROTA_HOME": "/proc/nowhere"})
    assert error.startswith("[rota][ERROR] cannot create /proc/nowhere: ")
    assert error.count("\n") == 2


def test_a_home_with_a_long_path_has_its_socket_elsewhere(rota: Rota) -> None:
    home = rota.cwd / ("long" * 30)
    given = {"ROTA_HOME": str(home)}
    try:
        assert rota.ok("jlist", env=given) == "[]"
        assert not (home / "rota.sock").exists()
        # A login shell and a boot script need not have the same variables.
        assert rota("jlist", env={**given, "XDG_RUNTIME_DIR": ""}).stderr == ""
    finally:
        rota.ok("kill", env=given)


def test_a_daemon_that_was_killed_is_back_before_the_next_command_ends(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    rota.ok("start", "app.py")
    pid = rota.records()[0]["pid"]
    for _ in range(3):
        os.kill(rota.pids()[1], signal.SIGKILL)
        assert rota.records()[0]["pid"] == pid


def test_the_environment_that_starts_the_daemon_holds_the_defaults(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    pm2 = {"PM2_KILL_TIMEOUT": "5000", "PM2_KILL_SIGNAL": "SIGTERM", "PM2_LOG_DATE_FORMAT": "[day] YYYY"}
    rota.ok("start", "app.py", "--name", "silent", env=pm2)
    rota.ok("start", "app.py", "--name", "said", "--kill-timeout", "1600")
    assert timeouts(rota) == {"silent": 5000, "said": 1600}
    assert "SIGTERM to the whole tree" in rota.ok("describe", "silent")
    assert (rota.home / "rota.log").read_text().startswith("day 20")
    rota.ok("shutdown")
    rota.ok("list", env={"ROTA_KILL_TIMEOUT": "700", **pm2})
    assert timeouts(rota) == {"silent": 700, "said": 1600}


def timeouts(rota: Rota) -> dict[str, int]:
    return {record["name"]: record["pm2_env"]["kill_timeout"] for record in rota.records()}


@pytest.mark.parametrize("verb", ["kill", "shutdown"])
@pytest.mark.parametrize("victims", ["daemon", "both"])
def test_what_a_killed_daemon_leaves_running_is_ended_too(rota: Rota, verb: str, victims: str) -> None:
    rota.write("app.py", SLEEPER)
    rota.ok("start", "app.py")
    app, (keeper, daemon) = rota.records()[0]["pid"], rota.pids()
    for pid in (keeper, daemon) if victims == "both" else (daemon,):
        os.kill(pid, signal.SIGKILL)
    assert "nothing to stop" not in rota.ok(verb)
    assert not alive(app)
    assert rota.pids() == []
    assert "nothing to stop" in rota.ok(verb)
