"""start: what is new, what is known, what comes out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.errors import NotPermitted, SpecError
from rota.process.spec import ProbeSpec
from rota.wire.messages import Act, StartSpecs
from tests.daemon.host import alive, python, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

SLEEP = shell("exec sleep 1000")


def test_an_app_runs_when_start_returns(host: Host) -> None:
    assert host.start("api", SLEEP) == [0]
    assert host.status("api") == "online"
    assert alive(host.pid("api"))
    assert (host.path / "pids" / "api-0.pid").read_text() == f"{host.pid('api')}\n"


def test_instances_get_ids_numbers_and_processes_of_their_own(host: Host) -> None:
    assert host.start("api", shell("echo $NODE_APP_INSTANCE; exec sleep 1000"), instances=3, instances_given=True) == [
        0,
        1,
        2,
    ]
    records = host.records()
    assert [record.instance.number for record in records] == [0, 1, 2]
    assert len({host.pid(id) for id in range(3)}) == 3
    eventually(lambda: [(host.path / f"logs/api-out-{n}.log").read_text() for n in range(3)] == ["0\n", "1\n", "2\n"])


def test_a_script_that_runs_already_is_refused_unless_forced(host: Host) -> None:
    first = spec("api", SLEEP)
    host.start_all([first], from_file=False)
    with pytest.raises(NotPermitted, match="Script already launched"):
        host.start_all([first], from_file=False)
    assert host.call(StartSpecs(specs=(first,), force=True)) == [1]
    assert len(host.records()) == 2


def test_a_stopped_script_is_started_again_and_keeps_its_id(host: Host) -> None:
    first = spec("api", SLEEP)
    host.start_all([first], from_file=False)
    host.call(Act(action="stop", targets=("api",)))
    assert host.start_all([first], from_file=False) == [0]
    assert host.status("api") == "online"


def test_a_file_restarts_what_it_knows_and_starts_the_rest(host: Host) -> None:
    host.start_all([spec("a", SLEEP)])
    former = host.pid("a")
    shown = host.show(StartSpecs(specs=(spec("a", SLEEP, env={"X": "1"}), spec("b", SLEEP)), from_file=True))
    assert shown.code == 0
    assert "Applications b not running, starting..." in shown.out
    assert "App [b] launched (1 instances)" in shown.out
    assert host.pid("a") != former
    assert host.record("a").spec.env == {"X": "1"}
    assert [r.instance.restarts for r in host.records()] == [1, 0]


def test_the_number_in_a_file_is_followed_both_ways(host: Host) -> None:
    for number in (1, 3, 2):
        host.start_all([spec("a", SLEEP, instances=number, instances_given=True)])
        assert [record.instance.number for record in host.records()] == list(range(number))
        assert all(host.pid(record.instance.id) for record in host.records())


def test_ids_grow_and_begin_again_when_the_list_is_empty(host: Host) -> None:
    assert host.start("a", SLEEP) == [0]
    assert host.start("b", SLEEP) == [1]
    host.call(Act(action="delete", targets=("b",)))
    assert host.start("c", SLEEP) == [2]
    host.call(Act(action="delete", targets=("all",)))
    assert host.start("d", SLEEP) == [0]


def test_autostart_false_is_registered_and_an_explicit_start_starts_it(host: Host) -> None:
    host.start("api", SLEEP, autostart=False)
    assert host.status("api") == "stopped"
    host.call(Act(action="start", targets=("api",)))
    assert host.status("api") == "online"


def test_start_of_what_runs_restarts_it(host: Host) -> None:
    host.start("api", SLEEP)
    former = host.pid("api")
    host.call(Act(action="start", targets=("api",)))
    assert host.pid("api") != former
    assert host.record("api").instance.restarts == 1


def test_start_waits_for_the_ready_message(host: Host) -> None:
    host.start("api", python("ipc", 0.3), wait_ready=True)
    assert host.status("api") == "online"
    assert host.record("api").instance.actual.how == "message"  # type: ignore[union-attr]


def test_without_a_ready_message_it_counts_as_online_after_listen_timeout(host: Host) -> None:
    host.start("api", SLEEP, wait_ready=True, listen_timeout=0.2)
    assert host.status("api") == "online"
    assert host.record("api").instance.actual.how == "timeout"  # type: ignore[union-attr]


@pytest.mark.timeout(30)
def test_start_returns_when_a_readiness_probe_never_passes(host: Host) -> None:
    probe = ProbeSpec(kind="exec", command=("/bin/false",), interval=0.05, deadline=0.4)
    shown = host.show(StartSpecs(specs=(spec("api", SLEEP, ready=probe),), from_file=True))
    assert shown.code == 1
    assert "[api](0) is not ready" in shown.err
    assert host.status("api") == "launching"


@pytest.mark.timeout(30)
def test_a_probe_that_passes_late_still_makes_it_ready(host: Host, work: Path) -> None:
    probe = ProbeSpec(kind="exec", command=("/usr/bin/test", "-e", f"{work}/up"), interval=0.05, deadline=0.2)
    assert host.show(StartSpecs(specs=(spec("api", SLEEP, ready=probe),), from_file=True)).code == 1
    (work / "up").touch()
    host.reaches("api", "online")


def test_the_environment_and_the_directory_are_the_apps_own(host: Host, work: Path) -> None:
    host.start("api", shell("echo $COLOUR; pwd; umask; exec sleep 1000"), cwd=str(work), env={"COLOUR": "red"}, umask=7)
    eventually(lambda: host.log("api") == f"red\n{work}\n0007\n")


def test_the_app_leads_a_session_of_its_own_and_inherits_no_descriptor(host: Host) -> None:
    host.start("api", shell("exec sleep 1000"))
    pid = host.pid("api")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert (int(fields[2]), int(fields[3])) == (pid, pid)
    assert sorted(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()) == [0, 1, 2]


def test_nofile_is_what_the_user_had(host: Host) -> None:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    host.start("api", shell("ulimit -n; exec sleep 1000"))
    eventually(lambda: host.log("api") == f"{soft}\n")


def test_limits_and_nice_are_set(host: Host) -> None:
    host.start("api", SLEEP, limits={"NOFILE": 77, "CORE": 0}, nice=7)
    limits = Path(f"/proc/{host.pid('api')}/limits").read_text()
    assert next(line.split()[3:5] for line in limits.splitlines() if "open files" in line) == ["77", "77"]
    assert Path(f"/proc/{host.pid('api')}/stat").read_text().rpartition(")")[2].split()[16] == "7"


def test_a_limit_nobody_knows_leaves_no_process_behind(host: Host) -> None:
    shown = host.show(StartSpecs(specs=(spec("api", SLEEP, limits={"NOSUCH": 1}),), from_file=True))
    assert shown.code == 1
    assert "no resource limit 'NOSUCH'" in shown.err
    assert host.status("api") == "errored"
    eventually(lambda: len(host.processes()) == 2)  # keeper and daemon
    assert host.fifos() == []


def test_circles_and_strangers_among_dependencies_are_refused(host: Host) -> None:
    with pytest.raises(SpecError, match="wait for each other: a -> b -> a"):
        host.start_all([spec("a", SLEEP, depends_on=("b",)), spec("b", SLEEP, depends_on=("a",))])
    with pytest.raises(SpecError, match="a depends on nope, which does not exist"):
        host.start_all([spec("a", SLEEP, depends_on=("nope",))])
    assert host.records() == []
