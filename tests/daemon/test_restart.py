"""restart and reload of what is known."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from rota.process.spec import StopSpec
from rota.wire.messages import Act
from tests.daemon.host import alive, python, shell, spec

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def test_a_new_process_takes_the_place_of_the_old(host: Host) -> None:
    host.start("app", SLEEP)
    former = host.pid("app")
    shown = host.show(Act(action="restart", targets=("app",)))
    assert shown.code == 0
    assert "Use --update-env to update environment variables" in shown.out
    assert "Applying action restartProcessId on app [app](ids: [ 0 ])" in shown.out
    assert "[app](0) ✓" in shown.out
    assert (host.pid("app") != former, alive(former)) == (True, False)
    assert host.record("app").instance.restarts == 1


def test_a_stopped_one_is_started_and_not_counted(host: Host) -> None:
    host.start("app", SLEEP)
    host.call(Act(action="stop", targets=("app",)))
    host.call(Act(action="restart", targets=("0",)))
    assert (host.status("app"), host.record("app").instance.restarts) == ("online", 0)


def test_options_become_part_of_it(host: Host) -> None:
    host.start("app", SLEEP)
    patch = {"name": msgspec.Raw(b'"renamed"'), "kill_timeout": msgspec.Raw(b"2.5")}
    host.call(Act(action="restart", targets=("app",), patch=patch))
    record = host.record("renamed")
    assert (record.spec.stop.kill_timeout, record.instance.id) == (2.5, 0)
    host.back(host.kill_daemon())
    assert host.record("renamed").spec.stop.kill_timeout == 2.5


def test_an_option_of_a_wrong_type_is_refused_and_changes_nothing(host: Host) -> None:
    host.start("app", SLEEP)
    shown = host.show(Act(action="restart", targets=("app",), patch={"kill_timeout": msgspec.Raw(b'"soon"')}))
    assert shown.code == 1
    assert "Expected `float`, got `str`" in shown.err
    assert host.record("app").instance.restarts == 0


def test_update_env_takes_the_callers_environment(host: Host) -> None:
    host.start("app", shell("echo colour $COLOUR; exec sleep 1000"))
    host.logs("app", "colour\n")
    host.call(Act(action="restart", targets=("app",), shell_env={"COLOUR": "blue", "PATH": os.environ["PATH"]}))
    host.logs("app", "colour blue\n")


def test_a_second_order_during_a_restart_has_the_last_word(host: Host) -> None:
    """stop while restarting: it ends stopped, and the first command returns."""
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=0.8))
    host.logs("app", "ignoring")
    restarting = host.spawn_cli("restart", "app")
    host.reaches("app", "stopping")
    host.call(Act(action="stop", targets=("app",)))
    assert host.status("app") == "stopped"
    restarting.communicate(timeout=10)
    assert restarting.poll() is not None


def test_delete_during_a_restart(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=0.8))
    host.logs("app", "ignoring")
    restarting = host.spawn_cli("restart", "app")
    host.reaches("app", "stopping")
    host.call(Act(action="delete", targets=("app",)))
    assert host.records() == []
    restarting.communicate(timeout=10)


def test_start_during_a_stop_starts_it_again(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=0.8))
    host.logs("app", "ignoring")
    former = host.pid("app")
    stopping = host.spawn_cli("stop", "app")
    host.reaches("app", "stopping")
    host.call(Act(action="start", targets=("app",)))
    assert host.status("app") == "online"
    assert host.pid("app") != former
    out, _ = stopping.communicate(timeout=10)
    assert "started again meanwhile" in out


def test_many_are_restarted_each_once(host: Host) -> None:
    host.start_all([spec(f"a{index}", SLEEP) for index in range(12)])
    former = {record.spec.name: host.pid(record.instance.id) for record in host.records()}
    host.call(Act(action="restart", targets=("all",)))
    assert all(host.pid(name) not in (0, pid) for name, pid in former.items())
    assert [record.instance.restarts for record in host.records()] == [1] * 12


def test_two_restarts_of_the_same_at_once(host: Host) -> None:
    host.start("app", SLEEP)
    threads = [threading.Thread(target=host.call, args=(Act(action="restart", targets=("app",)),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert host.status("app") == "online"
    assert len([command for command in host.processes().values() if "rota" not in command]) == 1


def test_reload_shows_no_table(host: Host) -> None:
    host.start("app", SLEEP)
    former = host.pid("app")
    shown = host.show(Act(action="reload", targets=("app",)))
    assert (shown.code, "┌" in shown.out) == (0, False)
    assert host.pid("app") not in (0, former)
