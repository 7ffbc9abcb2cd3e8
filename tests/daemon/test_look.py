"""list, jlist, describe, env, why, id, pid, report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rota.errors import TargetNotFound
from rota.process.spec import RestartSpec
from rota.wire.messages import Act, Describe, Env, Find, Ids, Jlist, List, Pids, Ping, Report, Why
from tests.daemon.host import kill, python, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def test_an_empty_list(host: Host) -> None:
    assert host.show(List()).code == 0
    assert host.show(Jlist()).out == "[]"
    assert host.records() == []
    assert host.show(Ids(name="nope")).out == "[]\n"
    assert host.show(Pids(name="nope")).out == "\n"


def test_the_list_shows_what_is_true(host: Host) -> None:
    host.start_all([spec("api", SLEEP), spec("worker", SLEEP, namespace="back")])
    host.call(Act(action="stop", targets=("worker",)))
    rows = [line for line in host.show(List()).out.splitlines() if line.startswith("│")][1:]
    assert [row.split("│")[2].strip() for row in rows] == ["api", "worker"]
    assert "online" in rows[0]
    assert str(host.pid("api")) in rows[0]
    assert "stopped" in rows[1]
    assert all(len(line) <= 80 for line in host.show(List(), width=80).out.splitlines())
    assert "+--- api" in host.show(List(mini=True)).out


def test_jlist_is_pm2s_and_holds_no_environment_of_the_shell(host: Host) -> None:
    host.start("api", SLEEP, env={"MODE": "x"}, shell_env={"PATH": "/bin:/usr/bin", "SECRET": "hidden"})
    (record,) = json.loads(host.show(Jlist(show_env=True)).out)
    assert (record["pid"], record["name"], record["pm_id"]) == (host.pid("api"), "api", 0)
    assert record["pm2_env"]["status"] == "online"
    assert record["pm2_env"]["env"]["MODE"] == "x"
    assert "hidden" not in host.show(Jlist()).out
    assert host.show(Jlist(pretty=True)).out.startswith("[\n")


def test_ids_pids_find_and_ping(host: Host) -> None:
    host.start("api", SLEEP, instances=2, instances_given=True)
    assert host.show(Ids(name="api")).out == "[ 0, 1 ]\n"
    assert host.show(Pids(name="api")).out == f"{host.pid(0)}\n{host.pid(1)}\n"
    assert host.call(Find(target="api")) == [[0, "api"], [1, "api"]]
    assert host.call(Find(target="nope")) == []
    assert host.show(Ping()).out == "{ msg: 'pong' }\n"


def test_describe_tells_state_tree_and_paths(host: Host) -> None:
    host.start("api", shell("sleep 999 & wait"), env={"MODE": "x"})
    eventually(lambda: "sleep" in host.show(Describe(target="api")).out.partition("rocess")[2])
    page = host.show(Describe(target="api", local_env={"MODE": "y", "OTHER": "1"})).out
    assert str(host.path / "logs/api-out.log") in page
    assert "online" in page
    assert "MODE" in page


def test_describe_all_of_a_name(host: Host) -> None:
    host.start("api", SLEEP, instances=2, instances_given=True)
    assert len(host.call(Describe(target="0"))) == 2
    assert host.show(Describe(target="api")).out.count("Describing process with id") == 2


def test_describe_nobody(host: Host) -> None:
    host.start("api", SLEEP)
    with pytest.raises(TargetNotFound, match="apo doesn't exist") as refused:
        host.call(Describe(target="apo"))
    assert refused.value.hint == 'did you mean "api"?'


def test_env_shows_what_the_process_got(host: Host) -> None:
    host.start("api", shell("env; exec sleep 1000"), env={"MODE": "x"})
    host.logs("api", "MODE=x")
    shown = dict(line.split(": ", 1) for line in host.show(Env(target="api")).out.splitlines())
    actual = dict(line.split("=", 1) for line in host.log("api").splitlines() if "=" in line)
    for name in ("MODE", "PATH", "ROTA_HOME", "ROTA_INSTANCE", "pm_id", "NODE_APP_INSTANCE", "ROTA_DB"):
        assert shown[name] == actual[name]
    with pytest.raises(TargetNotFound):
        host.call(Env(target="99"))


def test_why_tells_the_story(host: Host) -> None:
    host.start("api", SLEEP)
    kill(host.pid("api"))
    eventually(lambda: host.record("api").instance.restarts == 1)
    host.reaches("api", "online")
    host.call(Act(action="stop", targets=("api",)))
    story = host.show(Why(target="api")).out
    kinds = ["start", "online", "exit", "restart", "online", "exit", "stop"]
    told = [kind for _, _, kind, _ in host.call(Why(target="api"))]
    assert told == kinds
    lines = [line.strip().partition("  ")[2] for line in story.splitlines()[1:]]
    assert lines == [
        "started by the user",
        "its process ended with signal SIGKILL; started again",
        "stopped by the user (its process ended with signal SIGINT)",
    ]


def test_why_an_errored_one_failed(host: Host) -> None:
    host.start("api", shell("echo no license >&2; exit 9"), restart=RestartSpec(max_restarts=2))
    host.reaches("api", "errored")
    told = host.show(Why(target="api")).out
    assert "2 runs in a row ended within 1 s; the last one with exit code 9" in told
    assert "    no license" in told


def test_the_story_survives_the_daemon(host: Host) -> None:
    host.start("api", SLEEP)
    host.back(host.kill_daemon())
    assert [kind for _, _, kind, _ in host.call(Why(target="api"))][:2] == ["start", "online"]


def test_report_holds_facts_and_no_secrets(host: Host) -> None:
    host.start("api", SLEEP, env={"SECRET": "hidden"})
    facts = host.call(Report())
    assert (facts["instances"], facts["running"], facts["ledger"]) == (1, 1, "writable")
    assert "hidden" not in host.show(Report()).text


def test_a_listing_of_many_is_quick_enough_to_look_at(host: Host) -> None:
    host.start_all([spec(f"app{index}", SLEEP) for index in range(50)])
    assert host.show(List()).out.count("online") == 50


def test_memory_of_the_tree_is_shown(host: Host) -> None:
    host.start("api", python("echo"))
    host.logs("api", "ready")
    assert eventually(lambda: host.record("api").usage.memory) > 1_000_000
