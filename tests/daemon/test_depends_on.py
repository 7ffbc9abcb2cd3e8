"""depends_on: in order, gated by readiness; what fails holds back what needs it, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rota.jobs.spec import JobSpec
from rota.process.spec import ProbeSpec, RestartSpec
from rota.wire.messages import Act, StartSpecs
from tests.daemon.host import kill, python, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from rota.process.spec import AppSpec
    from tests.daemon.host import Host, Shown

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")
NEVER = ProbeSpec(kind="exec", command=("/bin/false",), interval=0.05, deadline=0.3)


def start(host: Host, *specs: AppSpec) -> Shown:
    return host.show(StartSpecs(specs=specs, from_file=True))


def test_each_is_started_when_what_it_needs_is_ready(host: Host) -> None:
    shown = start(
        host,
        spec("web", SLEEP, depends_on=("api",)),
        spec("api", python("ipc", 0.3), depends_on=("db",), wait_ready=True, listen_timeout=20),
        spec("db", python("ipc", 0.3), wait_ready=True, listen_timeout=20),
    )
    assert shown.code == 0, shown.text
    log = host.own_log
    order = [f"App [{name}" for name in ("db:2] online", "api:1] start", "api:1] online", "web:0] start")]
    assert [log.index(words) for words in order] == sorted(log.index(words) for words in order)


def test_a_failing_one_holds_back_the_whole_chain(host: Host) -> None:
    shown = start(
        host,
        spec("web", SLEEP, depends_on=("api",)),
        spec("api", SLEEP, depends_on=("db",)),
        spec("db", ("/nonexistent/db",)),
        spec("other", SLEEP),
    )
    assert shown.code == 1
    assert "[api](1) was not started: it needs db, which is not ready" in shown.err
    assert "[web](0) was not started: it needs api, which is not ready" in shown.err
    assert [host.status(name) for name in ("web", "api", "db", "other")] == ["stopped", "stopped", "errored", "online"]


def test_one_that_is_not_ready_in_time_holds_back(host: Host) -> None:
    shown = start(host, spec("web", SLEEP, depends_on=("api",)), spec("api", SLEEP, ready=NEVER))
    assert shown.code == 1
    assert "[api](1) is not ready" in shown.err
    assert "[web](0) was not started: it needs api" in shown.err


def test_a_crash_looping_one_holds_back_once_it_is_given_up(host: Host) -> None:
    shown = start(
        host,
        spec("web", SLEEP, depends_on=("api",)),
        spec("api", shell("exit 1"), wait_ready=True, listen_timeout=20, restart=RestartSpec(max_restarts=3)),
    )
    assert shown.code == 1
    assert [host.status(name) for name in ("web", "api")] == ["stopped", "errored"]


def test_what_is_stopped_is_not_started_behind_ones_back(host: Host) -> None:
    start(host, spec("db", SLEEP), spec("web", SLEEP, depends_on=("db",)))
    host.call(Act(action="stop", targets=("all",)))
    shown = host.show(Act(action="start", targets=("web",)))
    assert shown.code == 1
    assert "[web](1) was not started: it needs db, which is not ready" in shown.err
    assert host.show(Act(action="start", targets=("all",))).code == 0
    assert [host.status(name) for name in ("db", "web")] == ["online", "online"]


def test_autostart_false_holds_back_at_once(host: Host) -> None:
    shown = start(host, spec("db", SLEEP, autostart=False), spec("web", SLEEP, depends_on=("db",)))
    assert (shown.code, host.status("web")) == (1, "stopped")


def test_a_job_must_have_succeeded(host: Host, work: Path) -> None:
    migrate = spec("migrate", shell(f"sleep 0.3; touch {work}/done"), job=JobSpec(run_on_start=True))
    web = spec("web", shell(f"test -e {work}/done && echo migrated; exec sleep 1000"), depends_on=("migrate",))
    shown = start(host, web, migrate)
    assert shown.code == 0, shown.text
    host.logs("web", "migrated\n")


def test_a_job_that_failed_holds_back(host: Host) -> None:
    shown = start(
        host,
        spec("web", SLEEP, depends_on=("migrate",)),
        spec("migrate", shell("exit 1"), job=JobSpec(run_on_start=True)),
    )
    assert (shown.code, host.status("web")) == (1, "stopped")
    assert "it needs migrate" in shown.err


def test_a_dependency_that_dies_later_does_not_take_others_along(host: Host) -> None:
    start(host, spec("db", SLEEP), spec("web", SLEEP, depends_on=("db",)))
    web, db = host.pid("web"), host.pid("db")
    kill(db)
    eventually(lambda: host.pid("db") not in (0, db))
    assert host.pid("web") == web


def test_several_instances_must_all_be_ready(host: Host) -> None:
    shown = start(
        host,
        spec("web", SLEEP, depends_on=("api",)),
        spec("api", python("ipc", 0.2), instances=2, instances_given=True, wait_ready=True, listen_timeout=20),
    )
    assert shown.code == 0, shown.text
    log = host.own_log
    assert max(log.index("[api:1] online"), log.index("[api:2] online")) < log.index("[web:0] start")


def test_wide_and_deep(host: Host) -> None:
    layers = [[f"l{depth}n{index}" for index in range(4)] for depth in range(4)]
    specs = [
        spec(name, SLEEP, depends_on=tuple(layers[depth - 1]) if depth else ())
        for depth, layer in enumerate(layers)
        for name in layer
    ]
    assert start(host, *reversed(specs)).code == 0
    assert {host.status(record.instance.id) for record in host.records()} == {"online"}
