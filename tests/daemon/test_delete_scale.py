"""delete, scale and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rota.process.spec import StopSpec
from rota.wire.messages import Act, Reset, Scale
from tests.daemon.host import alive, kill, python, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def test_a_deleted_app_is_forgotten_and_its_logs_stay(host: Host) -> None:
    host.start("app", shell("echo hello; exec sleep 1000"))
    host.logs("app", "hello")
    pid = host.pid("app")
    shown = host.show(Act(action="delete", targets=("app",)))
    assert shown.code == 0
    assert "Applying action deleteProcessId on app [app](ids: [ 0 ])" in shown.out
    assert (host.records(), alive(pid), host.fifos()) == ([], False, [])
    assert host.log("app") == "hello\n"
    assert not (host.path / "pids/app-0.pid").exists()
    host.back(host.kill_daemon())
    assert host.records() == []


def test_delete_of_a_stubborn_tree(host: Host) -> None:
    host.start("family", python("family", "stay"), stop=StopSpec(kill_timeout=0.5))
    grandchild = int(host.logs("family", "grandchild ").split()[1])
    host.call(Act(action="delete", targets=("family",)))
    assert not alive(grandchild)


def test_an_id_used_again_has_files_of_its_own(host: Host) -> None:
    """delete and start in one breath: the names of the old one must not be taken from the new one."""
    for round in range(10):
        host.start("app", shell(f"echo round {round}; exec sleep 1000"))
        assert host.record("app").instance.id == 0
        host.call(Act(action="delete", targets=("app",)))
    host.start("app", shell("echo last; exec sleep 1000"))
    host.logs("app", "last\n")
    assert len(host.fifos()) == 3
    host.back(host.kill_daemon())
    assert host.record("app").instance.restarts == 0


def numbers(host: Host) -> list[int]:
    return [record.instance.number for record in host.records() if host.pid(record.instance.id)]


def test_scale_up_down_and_relative(host: Host) -> None:
    host.start("app", SLEEP)
    first = host.pid(0)
    for count, expected in (("3", [0, 1, 2]), ("+2", [0, 1, 2, 3, 4]), ("-1", [0, 1, 2, 3]), ("2", [0, 1])):
        host.call(Scale(name="app", count=count))
        assert numbers(host) == expected
    assert host.pid(0) == first, "the newest leave first"


def test_freed_numbers_are_used_again(host: Host) -> None:
    host.start("app", SLEEP, instances=3, instances_given=True)
    host.call(Act(action="delete", targets=("1",)))
    host.call(Scale(name="app", count="+1"))
    assert sorted(numbers(host)) == [0, 1, 2]


def test_scale_to_nothing(host: Host) -> None:
    host.start("app", SLEEP)
    host.call(Scale(name="app", count="0"))
    assert host.records() == []


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("app", "1", "Nothing to do"),
        ("app", "many", "not a number of instances"),
        ("app", "²", "not a number of instances"),
        ("app", "", "not a number of instances"),
        ("app", "8080", "8080 instances are too many"),
        ("app", "+1000", "1001 instances are too many"),
        ("app", "9" * 5000, "not a number of instances"),
        ("ap", "2", "Application ap not found"),
    ],
)
def test_scale_refuses(host: Host, name: str, count: str, message: str) -> None:
    host.start("app", SLEEP)
    shown = host.show(Scale(name=name, count=count))
    assert shown.code in (1, 2, 4)
    assert message in shown.err
    assert len(host.records()) == 1


def test_reset_sets_the_counters_to_zero(host: Host) -> None:
    host.start_all([spec("app", SLEEP), spec("other", SLEEP)])
    kill(host.pid("app"))
    eventually(lambda: host.record("app").instance.restarts == 1)
    host.reaches("app", "online")
    host.call(Act(action="restart", targets=("other",)))
    shown = host.show(Reset(target="app"))
    assert "Resetting meta for process id 0" in shown.out
    assert [record.instance.restarts for record in host.records()] == [0, 1]
    assert host.record("app").instance.unstable == 0
    host.back(host.kill_daemon())
    assert [record.instance.restarts for record in host.records()] == [0, 1]


def test_reset_of_nobody(host: Host) -> None:
    host.start("app", SLEEP)
    assert host.show(Reset(target="apq")).code == 4
