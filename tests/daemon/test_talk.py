"""sendSignal, send, attach, trigger: what is said to a running app, and what it answers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from rota.client.connection import Connection
from rota.errors import RotaError, TargetNotFound, UsageError
from rota.wire.messages import Act, Attach, Data, Render, Scale, SendLine, SendSignal, Trigger
from tests.daemon.host import python, shell
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_signal_reaches_the_main_process(host: Host) -> None:
    host.start("app", shell("trap 'echo got it' USR2; echo up; while :; do sleep 0.02; done"))
    host.logs("app", "up")
    shown = host.show(SendSignal(signal="SIGUSR2", target="app"))
    assert "Sending signal to process name app" in shown.out
    assert "successfully sent signal SIGUSR2 to process id 0" in shown.out
    host.logs("app", "got it")
    assert host.show(SendSignal(signal="usr2", target="0")).code == 0
    host.logs("app", "got it\ngot it")


@pytest.mark.parametrize(
    ("signal", "target", "message"),
    [("SIGNOPE", "app", "SIGNOPE is not a signal"), ("²", "app", "is not a signal"), ("999", "app", "is not a signal")],
)
def test_what_is_no_signal_is_said(host: Host, signal: str, target: str, message: str) -> None:
    host.start("app", SLEEP)
    with pytest.raises(UsageError, match=message):
        host.call(SendSignal(signal=signal, target=target))


def test_signals_to_nobody_and_to_the_stopped(host: Host) -> None:
    host.start("app", SLEEP)
    with pytest.raises(TargetNotFound):
        host.call(SendSignal(signal="SIGHUP", target="ap"))
    host.call(Act(action="stop", targets=("app",)))
    shown = host.show(SendSignal(signal="SIGHUP", target="app"))
    assert (shown.code, "app (0) is not running" in shown.err) == (1, True)


# --- standard input -------------------------------------------------------------------------------------------------


def test_a_line_is_sent(host: Host) -> None:
    host.start("app", python("echo"))
    host.logs("app", "ready")
    host.call(SendLine(id="0", line="hello é"))
    host.logs("app", "hello é\n")
    host.logs("app", "HELLO É\n", kind="error")


def test_input_goes_on_after_the_daemon_was_killed(host: Host) -> None:
    host.start("app", python("echo"))
    host.logs("app", "ready")
    host.back(host.kill_daemon())
    host.call(SendLine(id="0", line="still there?"))
    host.logs("app", "still there?\n")


@pytest.mark.parametrize(
    ("id", "error", "message"),
    [
        ("ap", UsageError, "pm_id must be a process number"),
        ("99", TargetNotFound, "Process with ID <99> unknown"),
        ("²", UsageError, "pm_id must be"),
    ],
)
def test_a_line_to_nobody(host: Host, id: str, error: type[RotaError], message: str) -> None:
    host.start("app", SLEEP)
    with pytest.raises(error, match=message):
        host.call(SendLine(id=id, line="x"))


def test_a_name_is_enough_where_one_instance_has_it(host: Host) -> None:
    host.start("app", python("echo"))
    host.logs("app", "ready")
    assert "Line sent to process id 0" in host.show(SendLine(id="app", line="by name")).out
    host.logs("app", "by name\n")
    host.call(Scale(name="app", count="2"))
    with pytest.raises(UsageError, match="pm_id must be a process number") as refused:
        host.call(SendLine(id="app", line="to whom?"))
    assert refused.value.hint == "app has the ids 0, 1"


def test_a_process_that_does_not_read_is_named_and_holds_nobody_up(host: Host) -> None:
    host.start("app", SLEEP)

    def fill() -> None:
        for _ in range(40):
            host.call(SendLine(id="0", line="x" * 4000))

    with pytest.raises(RotaError, match="does not read its standard input"):
        fill()
    with pytest.raises(UsageError, match="more than 1 MiB"):
        host.call(SendLine(id="0", line="x" * (2 << 20)))
    host.call(Act(action="stop", targets=("app",)))
    with pytest.raises(RotaError, match="is not running"):
        host.call(SendLine(id="0", line="x"))


# --- attach ---------------------------------------------------------------------------------------------------------


def test_attach_streams_both_outputs_and_forwards_input(host: Host) -> None:
    host.start("app", python("echo"))
    host.logs("app", "ready")
    seen: dict[int, bytes] = {1: b"", 2: b""}
    with host.connected() as connection:
        connection.send(Attach(id="0", render=Render()))
        connection.send_input(b"hello\n")
        for kind, payload in connection.frames():
            seen[1 if kind == b"o" else 2] += payload
            if b"hello\n" in seen[1] and b"HELLO\n" in seen[2]:
                break
    assert seen[1] == b"hello\n", "from now on, not from the beginning"
    host.logs("app", "hello\n")


def test_attach_ends_with_the_client_and_leaves_the_app_alone(host: Host) -> None:
    host.start("app", shell("while :; do echo tick; sleep 0.02; done"))
    pid = host.pid("app")
    for _ in range(5):
        with host.connected() as connection:
            connection.send(Attach(id="0", render=Render()))
            connection.arrived()
    assert host.pid("app") == pid
    before = len(host.log("app"))
    eventually(lambda: len(host.log("app")) > before)


def test_attach_follows_from_one_process_to_the_next(host: Host) -> None:
    host.start("app", python("echo"))
    host.logs("app", "ready")
    seen = b""
    with host.connected() as connection:
        connection.send(Attach(id="0", render=Render()))
        connection.send_input(b"first\n")
        while b"first\n" not in seen:
            seen += b"".join(payload for _, payload in connection.arrived())
        host.call(Act(action="restart", targets=("app",)))
        while b"ready\n" not in seen:
            seen += b"".join(payload for _, payload in connection.arrived())
        connection.send_input(b"second\n")
        while b"second\n" not in seen:
            seen += b"".join(payload for _, payload in connection.arrived())


def test_attach_to_nobody(host: Host) -> None:
    host.start("app", SLEEP)
    host.call(Act(action="stop", targets=("app",)))
    with pytest.raises(RotaError, match="is not running"):
        host.call(Attach(id="0"))
    with pytest.raises(UsageError, match="not a process name"):
        host.call(Attach(id="pap"))


# --- trigger --------------------------------------------------------------------------------------------------------


def test_an_action_answers(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True)
    shown = host.show(Trigger(target="app", action="greet", param="world"))
    assert shown.code == 0
    assert "1 processes have received command greet" in shown.out
    assert '[app:0:default]={"said":"hello","to":"world"}' in shown.out.replace('": ', '":').replace(", ", ",")
    assert '"to":null' in host.show(Trigger(target="0", action="greet")).out.replace('": ', '":')


def test_an_action_that_never_answers_is_given_up(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True)
    shown = host.show(Trigger(target="app", action="mute", timeout=0.3))
    assert (shown.code, "not every process replied within 0.3 s" in shown.err) == (1, True)


def test_an_action_nobody_has(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True)
    with pytest.raises(RotaError, match="Not any process has received a command") as refused:
        host.call(Trigger(target="app", action="dance"))
    assert refused.value.hint == "known actions: greet, mute"
    with pytest.raises(RotaError, match="Not any process has received a command") as refused:
        host.call(Trigger(target="ap", action="greet"))
    assert refused.value.hint == 'did you mean "app"?'
    with pytest.raises(RotaError, match="Action doesn't exist dance for app"):
        host.call(Trigger(target="0", action="dance"))


def test_two_triggers_of_one_action_at_once_are_both_answered(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True)
    found: list[object] = []

    def ask(number: int) -> None:
        with Connection.open(host.home) as connection:
            replies = connection.replies(Trigger(target="app", action="greet", param=str(number)))
            found.extend(reply.value for reply in replies if isinstance(reply, Data))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 3


def test_a_trigger_does_not_outlive_its_app(host: Host) -> None:
    host.start("app", python("ipc"), wait_ready=True)
    began = time.monotonic()
    asking = threading.Thread(target=lambda: host.show(Trigger(target="app", action="mute", timeout=3)))
    asking.start()
    host.logs("app", '"mute"')
    host.call(Act(action="stop", targets=("app",)))
    asking.join(10)
    assert not asking.is_alive()
    assert time.monotonic() - began < 8
