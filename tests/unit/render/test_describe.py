"""describe, list -m, env, and the sentence that says why."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
import pytest

from rota.jobs.spec import JobSpec
from rota.process.record import Metric, Record, RunSummary, Usage
from rota.process.spec import LogSpec, ProbeSpec, RestartSpec, StopSpec
from rota.process.state import Actual, Backoff, Down, Exit, Failed, Ready, Starting, Stopping, Up
from rota.render.describe import Findings, TreeProcess, describe
from rota.render.describe_rows import restart_text, rotation_text, stop_text
from rota.render.env import env_diff, env_text
from rota.render.list import process_table
from rota.render.mini import mini_list
from rota.render.reason import probe_text, reason
from rota.render.text import Style

from .golden import same_as
from .records import NOW, app, job, running

LOOPING = app(
    "api",
    actual=Failed(reason="16 runs in a row ended within 1 s; the last one with exit code 98"),
    last_exit=Exit(at=NOW - 200, code=98),
    usage=Usage(),
    unstable=16,
    restarts=15,
    log_path="/var/log/api.log",
    spec={"port": 8000, "max_memory": 314_572_800, "args": ("--port", "8000"), "source": "/srv/shop/rota.toml"},
)
BUSY = app(
    "web",
    id=4,
    exec_mode="cluster",
    actual=Ready(gen=2, process=running(77).process, since=NOW - 80, how="probe"),
    restart_reason="exit code 1",
    last_exit=Exit(at=NOW - 91, code=1),
    watching=True,
    node_version="20.20.2",
    actions=({"action_name": msgspec.Raw(b'"gc"')}, {"arity": msgspec.Raw(b"1")}),
    metrics={"Heap Size": Metric(value="4.38", unit="MiB"), "hits": Metric(value=5)},
    spec={
        "namespace": "shop",
        "version": "1.4.0",
        "env": {"NODE_ENV": "production", "TOKEN": "hunter2"},
        "interpreter_reason": "the project's .venv",
        "ready": ProbeSpec(kind="http", target="http://127.0.0.1:8000/healthz"),
        "alive": ProbeSpec(kind="exec", command=("./alive", "--fast")),
        "depends_on": ("db",),
        "env_name": "production",
    },
)


def test_a_crash_loop() -> None:
    findings = Findings(
        port="port 8000 is held by nginx (pid 312)",
        error_lines=("Traceback (most recent call last):", "OSError: [Errno 98] Address already in use\x1b[0m"),
        divergent={},
    )
    same_as("describe-errored.txt", describe(LOOPING, findings, width=100, zone=UTC))


def test_a_worker_with_everything() -> None:
    findings = Findings(
        tree=(
            TreeProcess(77, "python -m web", memory=50_000_000, cpu=0.2),
            TreeProcess(78, "celery worker", depth=1, memory=3_764_096, cpu=0.1),
        ),
        logs=LogSpec(max_size=20 << 20, keep=7, compress=False, rotate_cron="0 0 * * *", max_total=1 << 30),
        divergent={"NODE_ENV": "production", "TOKEN": "hunter2"},
    )
    same_as("describe-cluster.txt", describe(BUSY, findings, zone=UTC))


def test_a_job() -> None:
    spec = JobSpec(
        cron="0 2 * * *", tz="Europe/Paris", timeout=600.0, retries=2, verify=("./check",), budget={"lookup": 15}
    )
    same_as("describe-job.txt", describe(job(job=spec, last_exit=Exit(at=NOW - 3600, code=0)), width=100, zone=UTC))


def test_colour() -> None:
    same_as("describe-colour.txt", describe(LOOPING, style=Style(True), zone=UTC))


def test_divergent_values_show_only_on_request() -> None:
    findings = Findings(divergent={"TOKEN": "hunter2"})
    assert "hunter2" not in describe(BUSY, findings)
    assert "TOKEN" in describe(BUSY, findings)
    assert "hunter2" in describe(BUSY, findings, show_env=True)


def test_rows_stand_in_pm2s_order() -> None:
    order = """status|name|namespace|version|restarts|uptime|script path|script args|error log path|out log path|pid path
interpreter|interpreter args|script id|exec cwd|exec mode|node.js version|node env|watch & reload|unstable restarts|created at"""
    shown = [line.split("│")[1].strip() for line in describe(app()).split("\n") if line.startswith("│")]
    assert shown[:21] == order.replace("\n", "|").split("|")


@pytest.mark.parametrize(
    ("actual", "last", "words"),
    [
        (running(), None, "running for 90s"),
        (
            Ready(gen=1, process=running().process, since=NOW, how="timeout"),
            None,
            "ready because listen_timeout passed",
        ),
        (Up(gen=1, process=running().process, since=NOW), None, "running for 90s, not ready yet"),
        (Starting(gen=1, since=NOW), None, "being started"),
        (Stopping(gen=1, then="down", since=NOW - 2, process=running().process), None, "being stopped for 2s"),
        (
            Stopping(gen=1, then="policy", since=NOW - 2, forced=True, reason="exit code 1"),
            None,
            "main process ended, being rid of what it left behind for 2s, SIGKILL was sent: exit code 1",
        ),
        (
            Backoff(until=NOW + 5, delay=5, reason="exit code 1"),
            Exit(at=NOW - 1, code=1),
            "exit code 1, 1s ago; starts again in 5s",
        ),
        (Backoff(until=NOW + 600, delay=900, reason="no such user"), None, "no such user; starts again in 10m"),
        (Failed(reason="no such file"), None, "given up: no such file"),
        (Failed(reason="stuck"), Exit(at=NOW - 7, signal=9), "given up: stuck; last: signal SIGKILL, 7s ago"),
        (Down(), None, "not started"),
        (Down(reason="stopped by hand"), None, "stopped by hand"),
        (Down(), Exit(at=NOW - 7200, code=0), "ended: exit code 0, 2h ago"),
        (
            Down(),
            Exit(at=NOW - 7200, known=False),
            "ended: exit code unknown (it ended while nothing was watching), 2h ago",
        ),
    ],
)
def test_why(actual: Actual, last: Exit | None, words: str) -> None:
    assert words in reason(app(actual=actual, last_exit=last))


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "waiting"),
        ({"run": RunSummary(paused=True)}, "paused"),
        ({"actual": running(), "started": NOW - 42}, "running 42s"),
        ({"actual": Failed("no")}, "errored"),
    ],
)
def test_a_job_is_in_one_state_wherever_people_look(fields: dict[str, Any], state: str) -> None:
    record = job(**fields)
    _, heading, *rows = describe(record, zone=UTC).split("\n")
    assert heading.startswith(f" {state.partition(' ')[0]}: ")
    assert f"│ {state} " in next(row for row in rows if "│ status" in row)
    assert f"status : {state}" in mini_list([record], zone=UTC).split("\n")
    assert f"│ {state} " in process_table([record], zone=UTC)


def test_why_a_job_does_not_run() -> None:
    assert reason(job(), zone=UTC) == "last run ok, 1h ago; due in 17h, Sat 01:00"
    assert reason(job(run=RunSummary(paused=True))) == "no run yet; paused"
    assert reason(job(run=RunSummary())) == "no run yet; nothing is planned"


def test_probes_in_words() -> None:
    assert probe_text(ProbeSpec(kind="exec", command=("./ok", "-q"))) == "`./ok -q` succeeds"
    assert probe_text(ProbeSpec(kind="log", target="listening")) == "a line of its log matches listening"


def test_why_it_is_not_ready_yet() -> None:
    actual = Up(gen=1, process=running().process, since=NOW)
    probe = ProbeSpec(kind="tcp", target="127.0.0.1:80", deadline=10.0)
    assert reason(app(actual=actual, spec={"ready": probe})).endswith(
        "until 127.0.0.1:80 accepts connections (at most 10s)"
    )
    assert reason(app(actual=actual, spec={"wait_ready": True})).endswith("waiting for its ready message (at most 3s)")


def test_policies_in_words() -> None:
    assert stop_text(app().spec) == "SIGINT to the whole tree, SIGKILL after 1.6s"
    message = StopSpec(with_message=True, tree=False, kill_timeout=30)
    assert stop_text(app(spec={"stop": message}).spec) == "the message shutdown to the main process, SIGKILL after 30s"
    policy = RestartSpec(stop_exit_codes=(0, 3), exp_backoff=0.1, max_restarts=1)
    assert restart_text(app(spec={"restart": policy}).spec) == (
        "after every exit but 0, 3, 100ms later at first, then longer; given up after 1 exit in a row within 1s of the start"
    )
    assert restart_text(app(spec={"restart": RestartSpec(max_restarts=0)}).spec) == "never: max_restarts is 0"
    assert restart_text(app(spec={"restart": RestartSpec(exp_backoff=0.1)}).spec) == (
        "after every exit, 100ms later at first, then longer; never given up (max_restarts sets a limit)"
    )
    assert (
        restart_text(app().spec) == "after every exit, at once; given up after 16 exits in a row within 1s of the start"
    )
    assert restart_text(app(spec={"restart": RestartSpec(autorestart=False)}).spec) == "never"
    assert restart_text(job().spec) == "never: it is a job"
    assert rotation_text(LogSpec()) == "over 10.0mb, keeps 30, gzip"
    assert rotation_text(LogSpec(max_size=0, rotate_cron="@daily")) == "at @daily, keeps 30, gzip"
    assert rotation_text(LogSpec(disabled=True)) == "no logs are written"


def test_mini_list() -> None:
    same_as("mini.txt", mini_list([app("pyapp", id=2), job("snapshot"), app("down", id=3, actual=Down())], zone=UTC))


def test_mini_list_of_nothing() -> None:
    assert mini_list([]) == ""


def test_env() -> None:
    assert env_text({"B": "1", "A": "x\ny"}) == "B: 1\nA: x\\ny"


def test_env_difference() -> None:
    live, following = {"A": "1", "B": "2", "C": "3"}, {"B": "2", "C": "4", "D": ""}
    assert env_diff(live, following) == "- A: 1\n~ C: 3 → 4\n+ D: "
    assert env_diff(live, following, Style(True)).startswith("\x1b[31m- A: 1\x1b[0m")
    assert env_diff(live, live) == "A restart would not change the environment."


@pytest.mark.parametrize(
    "record", [LOOPING, BUSY, job(), job(run=None), job(run=RunSummary(), job=JobSpec(after=("a",)))]
)
@pytest.mark.parametrize("width", [20, 60, 80, 300])
def test_tables_are_straight_at_any_width(record: Record, width: int) -> None:
    lines = describe(record, width=width).split("\n")
    start = [n for n, line in enumerate(lines) if line.startswith("┌")]
    end = [n for n, line in enumerate(lines) if line.startswith("└")]
    for first, last in zip(start, end, strict=True):
        assert len({len(line) for line in lines[first : last + 1]}) == 1
