"""Apps that end by themselves: codes, signals, loops, delays, and what they leave behind."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from rota.process.spec import RestartSpec, StopSpec
from rota.process.state import Failed
from rota.wire.messages import Act, Describe, Jlist, StartSpecs, Why
from tests.daemon.host import alive, kill, python, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")
ONCE = RestartSpec(autorestart=False)


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_exit_codes_are_recorded(host: Host, code: int) -> None:
    host.start("app", shell(f"exit {code}"), restart=ONCE)
    exit = host.reaches("app", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.code, exit.signal, exit.known) == (code, None, True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_deaths_by_signal_are_recorded_as_such(host: Host, number: signal.Signals) -> None:
    host.start("app", SLEEP, restart=ONCE)
    kill(host.pid("app"), number)
    exit = host.reaches("app", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.code, exit.signal) == (None, number)
    assert f"signal {number.name}" in host.show(Describe(target="app")).out


def test_an_action_that_ends_in_a_crash_loop_says_where_to_look(host: Host) -> None:
    copies = spec("app", shell("exit 4"), wait_ready=True, instances=2, restart=RestartSpec(max_restarts=1))
    shown = host.show(StartSpecs(specs=(copies,), from_file=True))
    assert shown.code == 1
    assert shown.err.count("errored: 1 run in a row ended within 1 s; the last one with exit code 4") == 2
    assert shown.err.count("`rota why app` shows its last words") == 1


def test_a_crash_loop_ends_errored_with_the_counters_of_pm2(host: Host, work: Path) -> None:
    host.start("loop", shell(f"echo x >> {work}/launches; echo why it fails >&2; exit 4"))
    record = host.reaches("loop", "errored")
    assert (work / "launches").read_text() == "x\n" * 16
    assert (record.instance.restarts, record.instance.desired) == (15, "up")
    assert isinstance(record.instance.actual, Failed)
    assert "16 runs in a row ended within 1 s; the last one with exit code 4" in record.instance.actual.reason
    page = host.show(Describe(target="loop"), width=300).out
    assert "why it fails" in page, "the last words are shown"
    assert '"restart_time":15' in host.show(Jlist()).out
    assert "given up" in host.show(Why(target="loop")).out


def test_an_errored_app_can_be_started_and_counts_afresh(host: Host, work: Path) -> None:
    host.start("app", shell(f"test -e {work}/ok || exit 1; exec sleep 1000"))
    host.reaches("app", "errored")
    (work / "ok").touch()
    host.call(Act(action="start", targets=("app",)))
    assert (host.status("app"), host.record("app").instance.unstable) == ("online", 0)


def test_max_restarts_of_its_own(host: Host, work: Path) -> None:
    host.start("loop", shell(f"echo x >> {work}/launches; exit 1"), restart=RestartSpec(max_restarts=3))
    host.reaches("loop", "errored")
    assert (work / "launches").read_text() == "x\n" * 3


def test_runs_longer_than_min_uptime_never_give_up(host: Host, work: Path) -> None:
    policy = RestartSpec(min_uptime=0.02, max_restarts=2)
    host.start("app", shell(f"echo x >> {work}/launches; sleep 0.06; exit 1"), restart=policy)
    eventually(lambda: (work / "launches").read_text().count("x") > 8)
    assert host.status("app") != "errored"


def test_stop_exit_codes_end_it(host: Host) -> None:
    host.start("app", shell("exit 5"), restart=RestartSpec(stop_exit_codes=(3, 5)))
    record = host.reaches("app", "stopped")
    assert (record.instance.restarts, record.instance.desired) == (0, "down")


def test_restart_delay_waits(host: Host) -> None:
    host.start("app", shell("exit 1"), restart=RestartSpec(restart_delay=0.5))
    host.reaches("app", "waiting restart")
    began = time.monotonic()
    eventually(lambda: host.record("app").instance.restarts >= 2)
    assert time.monotonic() - began > 0.4


def test_backoff_grows(host: Host) -> None:
    host.start("app", shell("exit 1"), restart=RestartSpec(exp_backoff=0.05, max_restarts=100))
    delays = set()

    def grown() -> bool:
        delays.add(host.record("app").instance.delay)
        return len(delays - {0.0}) >= 4

    eventually(grown)
    assert sorted(delays - {0.0})[:4] == [0.05, 0.075, 0.112, 0.168]


def test_the_replacement_is_there_at_once(host: Host) -> None:
    host.start("app", SLEEP)
    took = []
    for _ in range(5):
        pid = host.pid("app")
        began = time.monotonic()
        kill(pid)
        eventually(lambda pid=pid: host.pid("app") not in (0, pid), every=0.001)  # type: ignore[misc]
        took.append(time.monotonic() - began)
    assert min(took) < 0.5


def test_what_a_crashed_process_leaves_behind_is_ended_first(host: Host, work: Path) -> None:
    """A grandchild in a session of its own that ignores signals would hold port and files against the replacement."""
    host.start(
        "family", python("family", "crash"), stop=StopSpec(kill_timeout=0.4), restart=RestartSpec(max_restarts=2)
    )
    host.reaches("family", "errored")
    grandchildren = [int(line.split()[1]) for line in host.log("family").splitlines()]
    assert len(grandchildren) == 2
    assert not any(alive(pid) for pid in grandchildren)
    log = host.own_log
    assert log.index("ending what it left behind") < log.index("[family:0] restart (")


def test_the_log_of_a_crash_is_complete(host: Host) -> None:
    host.start(
        "app", shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; printf unfinished"), restart=ONCE
    )
    host.reaches("app", "stopped")
    assert host.logs("app", "unfinished") == "".join(f"line {i}\n" for i in range(2000)) + "unfinished"


def test_an_exit_before_readiness_is_a_crash(host: Host) -> None:
    app = spec("app", shell("exit 1"), wait_ready=True, listen_timeout=20, restart=RestartSpec(max_restarts=2))
    shown = host.show(StartSpecs(specs=(app,), from_file=True))
    assert (shown.code, host.status("app")) == (1, "errored")


def test_deleting_in_the_middle_of_a_crash_loop(host: Host, work: Path) -> None:
    for _ in range(8):
        host.start("loop", shell(f"echo x >> {work}/launches; exit 1"), restart=RestartSpec(max_restarts=100_000))
        eventually(lambda: (work / "launches").exists())
        host.call(Act(action="delete", targets=("loop",)))
        assert host.records() == []
        count = (work / "launches").read_text()
        assert [command for command in host.processes().values() if "rota" not in command] == []
        assert (work / "launches").read_text() == count
        (work / "launches").unlink()


def test_stopping_in_the_middle_of_a_crash_loop(host: Host) -> None:
    host.start("loop", shell("exit 1"), restart=RestartSpec(max_restarts=100_000))
    for _ in range(10):
        host.call(Act(action="stop", targets=("loop",)))
        assert host.status("loop") == "stopped"
        host.call(Act(action="start", targets=("loop",)))
