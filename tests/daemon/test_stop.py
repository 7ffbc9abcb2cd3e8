"""stop: nothing of the app is left when it returns, and it stays stopped."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from rota.errors import TargetNotFound, UsageError
from rota.process.spec import RestartSpec, StopSpec
from rota.wire.messages import Act, StartSpecs
from tests.daemon.host import PROGRAM, Host, alive, kill, python, shell, spec
from tests.eventually import eventually

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def stop(host: Host, *targets: str) -> None:
    host.call(Act(action="stop", targets=targets))


def test_a_stopped_app_is_kept_and_has_no_process(host: Host) -> None:
    host.start("app", SLEEP)
    pid = host.pid("app")
    stop(host, "app")
    record = host.record("app")
    assert (host.status("app"), record.instance.desired, alive(pid)) == ("stopped", "down", False)
    assert record.instance.last_exit is not None
    assert record.instance.last_exit.signal == 2
    assert not (host.path / "pids" / "app-0.pid").exists()
    assert host.fifos() == []


def test_stopping_what_is_stopped_is_no_error(host: Host) -> None:
    host.start("app", SLEEP)
    for _ in range(2):
        shown = host.show(Act(action="stop", targets=("app",)))
        assert shown.code == 0
        assert "[app](0) ✓" in shown.out


def test_the_signal_is_the_one_that_was_asked_for(host: Host) -> None:
    host.start(
        "app", shell("trap 'echo term; exit 0' TERM; while :; do sleep 0.02; done"), stop=StopSpec(signal="SIGTERM")
    )
    eventually(lambda: "sleep" in Path(f"/proc/{host.pid('app')}/cmdline").read_text())
    stop(host, "app")
    assert host.logs("app", "term\n")


def test_who_ignores_it_is_killed_after_kill_timeout(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=0.4))
    host.logs("app", "ignoring")
    began = time.monotonic()
    stop(host, "app")
    took = time.monotonic() - began
    assert took >= 0.4
    exit = host.record("app").instance.last_exit
    assert exit is not None
    assert exit.signal == 9


def test_what_is_said_at_the_end_is_in_the_log(host: Host) -> None:
    host.start("app", shell("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.02; done"))
    host.logs("app", "up\n")
    stop(host, "app")
    assert host.log("app") == "up\nbye\n"


def test_a_double_forked_grandchild_that_ignores_signals_goes_too(host: Host) -> None:
    host.start("family", python("family", "stay"), stop=StopSpec(kill_timeout=0.5))
    grandchild = int(host.logs("family", "grandchild ").split()[1])
    stop(host, "family")
    assert not alive(grandchild)


def test_children_get_the_signal_as_well(host: Host) -> None:
    script = "sh -c 'trap \"echo child; exit 0\" TERM; echo up; while :; do sleep 0.02; done' & wait"
    host.start("app", shell(f"trap 'wait; exit 0' TERM; {script}"), stop=StopSpec(signal="SIGTERM"))
    host.logs("app", "up\n")
    stop(host, "app")
    assert "child\n" in host.log("app")


def test_without_treekill_the_main_process_is_asked_and_what_it_leaves_behind_afterwards(host: Host) -> None:
    script = (
        "sh -c 'trap \"echo child; exit 0\" TERM; echo up; while :; do sleep 0.02; done' & "
        "trap 'sleep 0.2; echo main; exit 0' TERM; wait"
    )
    host.start("app", shell(script), stop=StopSpec(signal="SIGTERM", tree=False, kill_timeout=10.0))
    host.logs("app", "up\n")
    stop(host, "app")
    assert host.log("app") == "up\nmain\nchild\n"
    assert host.status("app") == "stopped"


def test_shutdown_by_message(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True, stop=StopSpec(with_message=True, kill_timeout=20))
    stop(host, "app")
    exit = host.record("app").instance.last_exit
    assert exit is not None
    assert exit.code == 0
    assert 'got "shutdown"' in host.log("app")


def test_a_pending_restart_is_cancelled(host: Host) -> None:
    host.start("app", shell("exit 1"), restart=RestartSpec(restart_delay=0.4))
    host.reaches("app", "waiting restart")
    stop(host, "app")
    assert host.status("app") == "stopped"
    starts = host.own_log.count(" start (")
    host.start("other", shell("sleep 0.6"), restart=RestartSpec(autorestart=False))
    host.reaches("other", "stopped")
    assert host.own_log.count(" start (") == starts + 1
    assert host.status("app") == "stopped"


def test_several_at_once_stop_together(host: Host) -> None:
    for index in range(6):
        host.start(f"a{index}", python("stubborn"), stop=StopSpec(kill_timeout=0.5))
    for index in range(6):
        host.logs(f"a{index}", "ignoring")
    began = time.monotonic()
    stop(host, "all")
    assert time.monotonic() - began < 2.5, "not one after the other"


def test_the_first_unknown_target_ends_it(host: Host) -> None:
    host.start_all([spec("a", SLEEP), spec("b", SLEEP)])
    with pytest.raises(TargetNotFound, match="Process or Namespace nope not found"):
        stop(host, "a", "nope", "b")
    assert [host.status(name) for name in "ab"] == ["stopped", "online"]


WRONG = (
    ("apii", "Process or Namespace apii not found", 'did you mean "api"?'),
    ("666", "666 : id unknown", "`rota list` shows the ids"),
    ("/zzz/", "No process found", ""),
    ("²", "Process or Namespace ² not found", ""),
)


def test_a_wrong_target_is_named_with_a_suggestion(host: Host) -> None:
    host.start("api", SLEEP)
    for action in ("stop", "restart", "delete", "start", "reload"):
        for target, message, hint in WRONG:
            shown = host.show(Act(action=action, targets=(target,)))  # type: ignore[arg-type]
            assert shown.code == TargetNotFound.exit_code
            assert message in shown.err
            assert hint in shown.err
    shown = host.show(Act(action="stop", targets=("/(/",)))
    assert (shown.code, "is not a regular expression" in shown.err) == (UsageError.exit_code, True)
    assert host.status("api") == "online"
    assert host.cli("stop", "apii").code == 1, "the command line says 1 for every failure, as PM2 does"
    assert host.cli("stop", "apii", ROTA_EXIT_CODES="rich").code == 4


def test_no_process_found_when_there_is_none(host: Host) -> None:
    shown = host.show(Act(action="stop", targets=("all",)))
    assert shown.code == TargetNotFound.exit_code
    assert "No process found" in shown.err


def test_stop_of_an_app_with_a_cron_warns(host: Host) -> None:
    host.start("app", SLEEP, cron_restart="0 3 * * *")
    assert (
        "App app stopped but CRON RESTART is still UP 0 3 * * *" in host.show(Act(action="stop", targets=("app",))).text
    )


def test_a_kill_from_outside_during_the_stop_is_fine(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=20))
    host.logs("app", "ignoring")
    pid = host.pid("app")
    stopping = host.spawn_cli("stop", "app")
    host.reaches("app", "stopping")
    kill(pid)
    stopping.communicate(timeout=10)
    assert (stopping.returncode, host.status("app")) == (0, "stopped")


def test_progress_is_shown_when_it_takes_long(host: Host) -> None:
    for name in ("quick", "slow"):
        host.start(name, SLEEP if name == "quick" else python("stubborn"), stop=StopSpec(kill_timeout=1.6))
    host.logs("slow", "ignoring")
    shown = host.show(Act(action="stop", targets=("all",)), live=True)
    assert "[quick](0) ✓" in shown.out
    assert "slow" in shown.out.partition("still up")[2].partition("\x1b[K")[0]


def test_silent_says_nothing(host: Host) -> None:
    host.show(StartSpecs(specs=(spec("app", SLEEP),)), silent=True)
    shown = host.show(Act(action="stop", targets=("app",)), silent=True)
    assert (shown.code, shown.out, shown.err) == (0, "", "")


def escaped(pids: set[int]) -> set[int]:
    return {pid for pid in every_sleep() - pids if alive(pid)}


def every_sleep() -> set[int]:
    """Every `sleep 612` of this machine."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{name}/cmdline").read_bytes() == b"sleep\x00612\x00":
                found.add(int(name))
    return found


@pytest.mark.parametrize("how", ["fresh", "user"])
def test_a_daemonised_process_without_our_environment_goes_too(host: Host, how: str) -> None:
    if how == "user" and os.geteuid() != 0:
        pytest.skip("only root may change the user")
    before = every_sleep()
    host.start("api", python("escape", how), stop=StopSpec(kill_timeout=5.0))
    host.logs("api", "ready")
    (stray,) = eventually(lambda: escaped(before))
    assert b"ROTA" not in Path(f"/proc/{stray}/environ").read_bytes()
    host.call(Act(action="stop", targets=("api",)))
    assert not alive(stray)


def test_what_an_app_left_behind_goes_with_it_when_it_crashes(host: Host) -> None:
    before = every_sleep()
    host.start("api", python("escape", "fresh"), restart=RestartSpec(autorestart=False))
    host.logs("api", "ready")
    (stray,) = eventually(lambda: escaped(before))
    kill(host.pid("api"))
    host.reaches("api", "stopped")
    assert not alive(stray)


def test_a_keeper_started_from_inside_an_app_does_not_belong_to_it(host: Host, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    line = f"ROTA_HOME={inner} {PROGRAM} ping; echo done; sleep 600"
    host.start("api", shell(line))
    other = Host(inner)
    try:
        host.logs("api", "done", within=20)  # until then it is a child of the command that started it
        assert other.answers()
        host.call(Act(action="stop", targets=("api",)))
        assert other.answers()
    finally:
        other.end()
