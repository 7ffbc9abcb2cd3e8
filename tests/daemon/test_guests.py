"""Jobs inside apps beside the daemon's own: lists, runs and what people do to them; health from the daemon's side."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rota.errors import TargetNotFound
from rota.jobs.run import Outcome
from rota.wire.messages import PauseJob, Runs
from tests.daemon.host import APPS, shell
from tests.daemon.jobs_bed import finished, job, runs
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon.host import Host, Shown


@pytest.fixture
def shop(host: Host) -> Host:
    """The daemon, its own job `tick`, and an app whose jobs have run."""
    host.start_all([job("tick", shell("true"), cron="0 0 1 1 *")])
    host.start("shop", (sys.executable, str(APPS / "clockwork.py")), env={"ROTA_TEST": "hunter2"})
    eventually(lambda: {run.job for run in runs(host) if run.outcome is not None} >= {"poll", "fails"}, within=20)
    return host


def health(host: Host, *words: str) -> tuple[int, Any]:
    """`rota health ... --json`: exit code and body."""
    shown = host.cli("health", *words, "--json")
    return shown.code, json.loads(shown.out)


def table_row(shown: Shown, name: str) -> list[str]:
    (line,) = [line for line in shown.out.splitlines() if f" {name} " in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_lists_show_them_beside_the_daemons_own(shop: Host) -> None:
    shown = shop.cli("list", COLUMNS="160")
    assert table_row(shown, "shop/poll")[:4] == ["-", "shop/poll", "every 200ms", "ok"]
    assert table_row(shown, "shop/fails")[3] == "failed"
    assert table_row(shown, "tick")[2] == "0 0 1 1 *"
    assert "hunter2" not in shown.text
    (failed,) = [run for run in finished(shop, "shop/fails") if run.outcome is Outcome.FAILED]
    assert (failed.app, failed.job, failed.error) == ("shop", "fails", "ValueError: not today")
    assert {run.job for run in runs(shop, "poll")} == {"poll"}
    assert "ValueError: not today" in shop.cli("runs", "shop/fails", COLUMNS="160").out
    with pytest.raises(TargetNotFound, match='did you mean "shop/poll"'):
        shop.call(Runs(job="shop/pol"))


def test_one_is_run_now_and_its_end_is_the_commands(shop: Host) -> None:
    shown = shop.cli("run", "sweep")
    assert (shown.code, "of shop/sweep ok" in shown.text) == (0, True)
    (ran,) = runs(shop, "sweep")
    assert (ran.trigger, ran.done, ran.total) == ("manual", 40, 40)
    shown = shop.cli("run", "shop/fails")
    assert (shown.code, "ValueError: not today" in shown.text) == (1, True)
    again = shop.cli("rerun", str(ran.id))
    assert again.code == 0
    assert [run.parent for run in runs(shop, "sweep")] == [None, ran.id]

    # Of two jobs of one name the daemon's own is meant.
    assert shop.cli("run", "tick").code == 0
    assert shop.cli("run", "shop/tick").code == 0
    assert [run.app for run in runs(shop, "tick")] == [""]
    assert [run.app for run in runs(shop, "shop/tick")] == ["shop"]


def test_pausing_reaches_the_app_and_what_only_apps_can_is_refused(shop: Host) -> None:
    for verb in ("describe", "why", "restart"):
        assert "shop/poll is a job inside the app shop" in shop.cli(verb, "shop/poll").text
    shop.call(PauseJob(name="shop/poll", paused=True))
    assert table_row(shop.cli("list", COLUMNS="160"), "shop/poll")[8] == "paused"
    assert health(shop, "poll")[1]["status"] == "PAUSED"

    def passes() -> int:
        return len(runs(shop, "poll"))

    eventually(lambda: not any(run.outcome is None for run in runs(shop, "poll")))
    eventually(lambda: "poll paused" in shop.log("shop", "error"), within=10)
    before = passes()
    shop.call(PauseJob(name="poll", paused=False))
    eventually(lambda: passes() > before)


def test_a_request_to_an_app_that_is_down_waits_for_it(shop: Host) -> None:
    shop.cli("stop", "shop")
    shown = shop.cli("run", "shop/sweep")
    assert (shown.code, "gives a sign of life" in shown.text) == (0, True)
    shop.cli("start", "shop")
    assert finished(shop, "sweep", within=20)[0].outcome is Outcome.OK


def test_health_from_the_daemons_side(shop: Host) -> None:
    code, body = health(shop)
    assert code == 1
    assert set(body) == {"timestamp", "services", "stalled_services", "budgets"}
    assert all(set(service) == {"service", "last_run", "age_seconds", "status"} for service in body["services"])
    statuses = {service["service"]: service["status"] for service in body["services"]}
    assert statuses == {
        "consumer": "HEALTHY",
        "fails": "FAILING",
        "poll": "HEALTHY",
        "sweep": "NEVER_RUN",
        "tick": "NEVER_RUN",
        "shop/tick": "NEVER_RUN",
    }
    assert body["stalled_services"] == []
    assert set(body["budgets"]["api"]) == {"tokens", "capacity"}

    code, body = health(shop, "shop/fails")
    assert (code, body["status"], body["last_error"]) == (1, "FAILING", "ValueError: not today")
    assert health(shop, "poll")[0] == 0
    shown = shop.cli("health", "none")
    assert (shown.code, shown.text) == (1, "rota: unknown service: none\n")
    text = shop.cli("health")
    assert text.out.splitlines()[1].split()[:2] == ["fails", "FAILING"]
    assert "hunter2" not in text.text + json.dumps(body)
    # Whoever looks and closes the database last must leave the daemon's write-ahead log where it is.
    assert {path for path in opened(shop.daemon) if "rota.db-wal" in path} == {f"{shop.path}/rota.db-wal"}


def test_lists_of_plain_apps_open_nothing_for_jobs(host: Host) -> None:
    """What jobs need is code and a database connection of their own: a daemon that has none does without."""
    host.start("plain", shell("exec sleep 1000"))
    assert " plain " in host.cli("list").out
    assert [path for path in opened(host.daemon) if path.endswith("/rota.db")] == [f"{host.path}/rota.db"]
    if sys.version_info < (3, 12):  # later asyncio asks inspect itself, which brings this library
        assert "/_opcode." not in Path(f"/proc/{host.daemon}/maps").read_text()


def opened(pid: int) -> Iterator[str]:
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/{pid}/fd/{number}")


def ask(port: int, path: str, method: str = "GET", token: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_serve_health_is_an_app_that_answers_for_everybody(shop: Host) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    shown = shop.cli("serve-health", "--port", str(port), "--budgets-key", "x_api_status", ROTA_RUN_TOKEN="s3cret")
    assert (shown.code, f"http://127.0.0.1:{port}/health/cron" in shown.text) == (0, True)
    eventually(lambda: listens(port))
    assert shop.status(f"health-{port}") == "online"

    status, body = ask(port, "/health/cron")
    assert (status, body["x_api_status"]) == (503, body["budgets"])
    assert ask(port, "/health/cron/poll")[0] == 200
    assert ask(port, "/health/cron/none") == (404, {"error": "unknown service", "service": "none"})

    status, body = ask(port, "/api/health/cron")
    assert (status, set(body)) == (503, {"status", "timestamp", "jobs"})
    keys = {"name", "schedule", "lastRun", "lastStatus", "runCount", "errorCount", "uptime", "healthy"}
    assert all(set(row) == keys for row in body["jobs"])
    assert {row["name"]: row["lastStatus"] for row in body["jobs"]}["fails"] == "error"

    # The daemon's own scheduling beats once a second looks at it, the app's when its jobs begin.
    alive = [True, True]
    eventually(lambda: [worker["alive"] for worker in ask(port, "/api/health")[1]["workers"]] == alive)
    status, body = ask(port, "/api/health")
    assert (status, body["status"]) == (200, "healthy")
    assert "daemon" in {worker["worker"] for worker in body["workers"]}

    status, body = ask(port, "/api/scraper-status")
    assert (status, body["healthy"], body["stale"]) == (200, True, [])
    assert (body["states"][0]["source"], body["states"][0]["last_block"]) == ("treasury", 7)

    assert ask(port, "/api/jobs/sweep/run", "POST")[0] == 401
    status, body = ask(port, "/api/jobs/sweep/run", "POST", "s3cret")
    assert (status, body["job"]) == (202, "sweep")
    assert finished(shop, "sweep")[0].id == body["run"]
    assert "s3cret" not in shop.cli("describe", f"health-{port}").text + shop.log(f"health-{port}")
