"""kill -9 at any instant: no app restarts, no line is lost, exit codes are known, supervision goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.process.spec import RestartSpec, StopSpec
from rota.wire.messages import Act, SendLine, StartSpecs, Update
from tests.daemon.host import alive, kill, python, shell, spec
from tests.daemon.lines import count
from tests.daemon.meanwhile import in_background
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

MANY = 20
SLEEP = shell("exec sleep 1000")
ONCE = RestartSpec(autorestart=False)


def tickers(host: Host, number: int = MANY) -> dict[str, int]:
    """Apps that log numbered lines; pid by name."""
    names = [f"t{index}" for index in range(number)]
    host.start_all([spec(name, python("ticker", 0.01)) for name in names])
    for name in names:
        host.logs(name, "line 0\n")
    return {record.spec.name: host.pid(record.instance.id) for record in host.records()}


def nothing_happened_to(host: Host, pids: dict[str, int]) -> None:
    """Nobody was restarted, and no line lost, doubled or broken."""
    assert {name: host.pid(name) for name in pids} == pids
    assert [record.instance.restarts for record in host.records()] == [0] * len(pids)
    host.call(Act(action="stop", targets=("all",)))
    for name in pids:
        counted = count(host.logs(name, "\nend "))
        assert counted.clean, (name, counted)
        assert counted.written > 0


# --- the daemon -----------------------------------------------------------------------------------------------------


def test_a_killed_daemon_is_back_at_once_and_nobody_noticed(host: Host) -> None:
    pids = tickers(host)
    rng = random.Random(1)
    gaps = []
    for _ in range(5):
        time.sleep(rng.uniform(0.05, 0.5))
        began, former = time.monotonic(), host.kill_daemon()
        host.back(former)
        gaps.append(time.monotonic() - began)
    print(f"supervised again after {', '.join(f'{gap * 1000:.0f}' for gap in gaps)} ms")
    assert min(gaps) < 2, "a moment, on a machine however busy (benchmarks/crash_table.py measures it)"
    nothing_happened_to(host, pids)


def test_exit_codes_of_apps_that_ended_meanwhile_are_known(host: Host) -> None:
    for index in range(6):
        host.start(f"a{index}", shell(f"trap 'exit {index + 10}' TERM; while :; do sleep 0.02; done"), restart=ONCE)
    host.start("signalled", SLEEP, restart=ONCE)
    pids = {record.spec.name: host.pid(record.instance.id) for record in host.records()}
    former = host.kill_daemon()
    for name, pid in pids.items():
        kill(pid, signal.SIGKILL if name == "signalled" else signal.SIGTERM)
    eventually(lambda: not any(alive(pid) for pid in pids.values()))
    host.back(former)
    for index in range(6):
        exit = host.reaches(f"a{index}", "stopped").instance.last_exit
        assert exit is not None
        assert (exit.code, exit.signal, exit.known) == (index + 10, None, True)
    exit = host.reaches("signalled", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.code, exit.signal) == (None, signal.SIGKILL)


def test_exit_codes_after_adoption_are_known_too(host: Host) -> None:
    host.start("app", shell("trap 'exit 7' TERM; while :; do sleep 0.02; done"), restart=ONCE)
    host.back(host.kill_daemon())
    kill(host.pid("app"), signal.SIGTERM)
    exit = host.reaches("app", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.code, exit.known) == (7, True)


def test_an_app_that_crashed_while_the_daemon_was_dead_is_started_again(host: Host) -> None:
    host.start("app", SLEEP)
    pid, former = host.pid("app"), host.kill_daemon()
    kill(pid)
    host.back(former)
    eventually(lambda: host.pid("app") not in (0, pid))
    assert host.record("app").instance.restarts == 1


def test_the_last_words_of_an_app_that_died_unwatched_are_in_its_log(host: Host) -> None:
    host.start("app", shell("trap 'echo last words; exit 1' TERM; while :; do sleep 0.02; done"), restart=ONCE)
    pid, former = host.pid("app"), host.kill_daemon()
    kill(pid, signal.SIGTERM)
    host.back(former)
    assert host.logs("app", "last words\n") == "last words\n"


def test_a_client_is_told_when_the_daemon_dies_under_it(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=30))
    host.logs("app", "ignoring")
    stopping = host.spawn_cli("stop", "app")
    host.reaches("app", "stopping")
    former = host.kill_daemon()
    _, error = stopping.communicate(timeout=20)
    assert stopping.returncode == 1
    assert "the daemon went away before it had finished" in error
    host.back(former)
    kill(host.pid("app"))
    host.reaches("app", "stopped")


def test_waiting_for_readiness_survives(host: Host) -> None:
    host.start("app", SLEEP, wait_ready=True, listen_timeout=0.1)
    former = host.daemon
    thread = in_background(lambda: host.start("slow", python("ipc", 1.0), wait_ready=True, listen_timeout=20.0))
    host.reaches("slow", "launching")
    kill(former)
    thread.join()
    host.back(former)
    assert host.reaches("slow", "online").instance.actual.how == "message"  # type: ignore[union-attr]


def test_listen_timeout_goes_on_in_the_next_daemon(host: Host) -> None:
    former = host.daemon
    thread = in_background(lambda: host.start("slow", SLEEP, wait_ready=True, listen_timeout=0.8))
    host.reaches("slow", "launching")
    kill(former)
    thread.join()
    host.back(former)
    assert host.reaches("slow", "online").instance.actual.how == "timeout"  # type: ignore[union-attr]


def test_killed_many_times_in_a_row_before_it_is_up(host: Host) -> None:
    pids = tickers(host, 3)
    keeper = host.keeper
    for _ in range(8):
        children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        for child in children:
            if b"rota.daemon" in Path(f"/proc/{child}/cmdline").read_bytes():
                kill(int(child))
        time.sleep(0.03)
    eventually(host.answers)
    nothing_happened_to(host, pids)


# --- the keeper -----------------------------------------------------------------------------------------------------


def test_a_killed_keeper_is_replaced_and_nobody_noticed(host: Host) -> None:
    pids = tickers(host, 10)
    keeper, daemon = host.keeper, host.daemon
    kill(keeper)
    host.back(daemon)
    assert host.keeper == daemon, "the daemon has become the keeper: it is the parent of the apps"
    assert (host.path / "keeper.pid").read_text() == f"{daemon}\n"
    nothing_happened_to(host, pids)


def test_exit_codes_are_known_after_the_keeper_was_killed(host: Host) -> None:
    host.start("app", shell("trap 'exit 7' TERM; while :; do sleep 0.02; done"), restart=ONCE)
    pid, daemon = host.pid("app"), host.daemon
    kill(host.keeper)
    kill(pid, signal.SIGTERM)
    host.back(daemon)
    exit = host.reaches("app", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.code, exit.known) == (7, True)


def test_keeper_and_daemon_killed_in_turn(host: Host) -> None:
    pids = tickers(host, 5)
    for _ in range(3):
        daemon = host.daemon
        kill(host.keeper)
        daemon = host.back(daemon)
        kill(daemon)
        host.back(daemon)
    nothing_happened_to(host, pids)


def test_both_killed_and_any_command_adopts(host: Host) -> None:
    pids = tickers(host, 10)
    keeper, daemon = host.keeper, host.daemon
    os.kill(daemon, signal.SIGSTOP)
    kill(keeper)
    kill(daemon)
    eventually(lambda: not alive(keeper) and not alive(daemon))
    assert host.cli("list").code == 0
    assert host.daemon != daemon
    nothing_happened_to(host, pids)


def test_an_exit_nobody_saw_is_never_invented(host: Host) -> None:
    host.start("app", shell("trap 'exit 0' TERM; while :; do sleep 0.02; done"), restart=ONCE)
    pid, keeper, daemon = host.pid("app"), host.keeper, host.daemon
    os.kill(daemon, signal.SIGSTOP)
    kill(keeper)
    kill(daemon)
    eventually(lambda: not alive(keeper) and not alive(daemon))
    kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or not alive(pid))
    host.wake()
    exit = host.reaches("app", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.known, exit.code) in ((False, None), (True, 0)), "unknown, or what it really was"


# --- rota update ----------------------------------------------------------------------------------------------------


def test_update_under_load_restarts_nobody(host: Host) -> None:
    pids = tickers(host)
    former = host.daemon
    for _ in range(3):
        marked = host.own_log.count("replacing myself")
        assert host.call(Update())["to"]
        eventually(lambda marked=marked: host.own_log.count(" up, pid ") > marked + 1)  # type: ignore[misc]
        eventually(host.answers)
        assert host.daemon == former, "the same process"
    nothing_happened_to(host, pids)


def test_exit_codes_across_an_update_are_known(host: Host) -> None:
    host.start("app", shell("trap 'exit 9' TERM; while :; do sleep 0.02; done"), restart=ONCE)
    pid = host.pid("app")
    host.call(Update())
    kill(pid, signal.SIGTERM)
    eventually(host.answers)
    exit = host.reaches("app", "stopped").instance.last_exit
    assert exit is not None
    assert (exit.code, exit.known) == (9, True)


def test_after_an_update_apps_get_the_users_limits_and_signals(host: Host) -> None:
    host.call(Update())
    eventually(lambda: host.own_log.count(" up, pid ") == 2)
    host.start("app", shell("ulimit -n; grep SigBlk /proc/self/status; exec sleep 1000"))
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    eventually(lambda: host.log("app") == f"{soft}\nSigBlk:\t0000000000000000\n")


def test_ipc_goes_on_across_an_update(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True, stop=StopSpec(with_message=True, kill_timeout=20))
    host.call(Update())
    eventually(lambda: host.own_log.count(" up, pid ") == 2)
    host.call(Act(action="stop", targets=("app",)))
    assert 'got "shutdown"' in host.log("app")


def test_ipc_goes_on_after_a_crash(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True, stop=StopSpec(with_message=True, kill_timeout=20))
    host.back(host.kill_daemon())
    host.call(Act(action="stop", targets=("app",)))
    assert 'got "shutdown"' in host.log("app")


# --- an orderly end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["keeper", "daemon"])
def test_after_sigterm_what_ran_comes_back_and_what_was_stopped_stays_stopped(host: Host, who: str) -> None:
    host.start("running", SLEEP)
    host.start("stopped", SLEEP)
    host.start("looping", shell("exit 1"), restart=RestartSpec(restart_delay=30))
    host.show(StartSpecs(specs=(spec("errored", ("/nonexistent",)),), from_file=True))
    host.call(Act(action="stop", targets=("stopped",)))
    host.reaches("looping", "waiting restart")
    kill(host.keeper if who == "keeper" else host.daemon, signal.SIGTERM)
    eventually(lambda: not host.processes())
    assert host.fifos() == []
    host.wake()
    host.reaches("running", "online")
    assert host.status("stopped") == "stopped"
    assert host.status("errored") == "errored"
    host.reaches("looping", "waiting restart")


def test_sigterm_while_the_daemon_starts_is_not_lost(asleep: Host) -> None:
    asleep.wake()
    asleep.start("app", SLEEP)
    keeper, former = asleep.keeper, asleep.kill_daemon()
    eventually(lambda: not alive(former), every=0.001)
    kill(keeper, signal.SIGTERM)
    eventually(lambda: not asleep.processes())
    assert asleep.own_log.rstrip().endswith("ended")
    asleep.wake()
    asleep.reaches("app", "online")


def test_hangup_and_user_signals_end_nobody(host: Host) -> None:
    daemon, keeper = host.daemon, host.keeper
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        kill(keeper, number)
        kill(daemon, number)
    assert host.daemon == daemon
    assert alive(keeper)


def test_a_command_while_rota_ends_gets_a_daemon_of_its_own(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=1.0))
    host.logs("app", "ignoring")
    killing = host.spawn_cli("kill")
    host.reaches("app", "stopping")
    killing.communicate(timeout=20)
    assert killing.returncode == 0
    shown = host.cli("list")
    assert shown.code == 0
    assert "app" not in shown.out


def test_a_runtime_directory_that_vanishes_costs_nothing(host: Host) -> None:
    """As logind removes it with a user's last session."""
    pids = tickers(host, 2)
    host.start("echo", python("echo"))
    host.start("other", SLEEP)
    echo, other = host.pid("echo"), host.pid("other")
    shutil.rmtree(host.home.runtime_dir)

    host.call(Act(action="restart", targets=("other",)))
    assert host.status("other") == "online"
    assert host.pid("other") != other
    assert os.path.isdir(host.home.runtime_dir)
    host.call(SendLine(id=str(host.record("echo").instance.id), line="one"))
    host.logs("echo", "one")
    host.back(host.kill_daemon())
    daemon = host.daemon
    kill(host.keeper)
    host.back(daemon)
    host.call(SendLine(id=str(host.record("echo").instance.id), line="two"))
    host.logs("echo", "two")
    assert host.pid("echo") == echo
    assert {name: host.pid(name) for name in pids} == pids
    host.call(Act(action="stop", targets=("all",)))
    assert all(count(host.logs(name, "\nend ")).clean for name in pids)
    assert "is gone; new FIFOs are made in" in host.own_log
