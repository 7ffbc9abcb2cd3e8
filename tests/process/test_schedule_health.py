"""Health of a store without an app: `python -m rota.schedule.health`, and one set of shapes over ASGI, WSGI and this."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from rota import Budget, Scheduler
from rota.jobs.run import Outcome
from rota.schedule.health.asgi import HealthAsgi
from rota.schedule.health.routes import Health
from rota.schedule.health.wsgi import HealthWsgi
from rota.stores.records import Claim, Claimed, Ending, Heartbeat, JobRecord, Worker
from rota.stores.sqlite import SqliteStore
from rota.testing import FakeClock
from tests.unit.schedule.test_health import over_asgi, over_wsgi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.conftest import Spawn

PATHS = (
    "/health/cron",
    "/health/cron/fine",
    "/health/cron/none",
    "/api/health/cron",
    "/api/health",
    "/api/scraper-status",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A job that ran well, one that failed, a budget, a checkpoint, a scheduler alive."""
    opened, now = SqliteStore(tmp_path / "rota.db"), time.time()
    for name, outcome in (("fine", Outcome.OK), ("broken", Outcome.FAILED)):
        opened.register(JobRecord(app="shop", name=name, schedule="every 1h", every=3600.0, registered_at=now))
        run = opened.claim(Claim(app="shop", job=name, worker=Worker("w"), now=now, lease_until=now + 30, due=now))
        assert isinstance(run, Claimed)
        assert opened.finish(run.id, run.fence, Ending(outcome=outcome, finished=now + 1, error="oh" * outcome.bad))
    opened.beat(Heartbeat(name="scheduler h:1:a", app="shop", at=now, expected_by=now + 3600, host="h", pid=1))
    rota = Scheduler(opened, name="shop")
    rota.checkpoint("treasury", stale_after="1h").save(last_block=5)
    Budget("lookup", limit=15, per="1h", store=opened).try_take(4)
    yield opened
    opened.close()


def program(store: SqliteStore, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "rota.schedule.health", "--store", store.url, *words]
    environ = {**os.environ, **environ}
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environ, check=False)


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def serving(spawn: Spawn, store: SqliteStore, **environ: str) -> str:
    """The base URL of `serve` on a free port."""
    argv = (sys.executable, "-m", "rota.schedule.health", "--store", store.url, "serve", "--port", "0")
    process = spawn(*argv, stdout=subprocess.PIPE, env={**os.environ, **environ})
    assert process.stdout is not None
    return process.stdout.readline().decode().split()[-1].removesuffix("/health/cron")


def test_it_is_printed_and_the_exit_code_tells(store: SqliteStore) -> None:
    shown = program(store, "show")
    assert (shown.returncode, shown.stdout.splitlines()[1].split()[:2]) == (1, ["broken", "FAILING"])
    body = json.loads(program(store, "show", "--json").stdout)
    assert {service["service"]: service["status"] for service in body["services"]} == {
        "fine": "HEALTHY",
        "broken": "FAILING",
    }
    assert program(store, "show", "fine").returncode == 0
    assert json.loads(program(store, "show", "broken", "--json").stdout)["last_error"] == "oh"
    shown = program(store, "show", "none")
    assert (shown.returncode, shown.stderr) == (1, "rota: unknown service: none\n")


def test_to_look_at_a_database_does_not_make_it(tmp_path: Path) -> None:
    shown = program(SqliteStore(tmp_path / "none.db"), "show")
    assert (shown.returncode, "there is no database" in shown.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_others_are_let_in_by_token_only(spawn: Spawn, store: SqliteStore) -> None:
    refused = program(store, "serve", "--host", "0.0.0.0", "--port", "0")
    assert (refused.returncode, "set ROTA_HEALTH_TOKEN" in refused.stderr) == (2, True)
    base = serving(spawn, store, ROTA_HEALTH_TOKEN="hunter2", ROTA_RUN_TOKEN="s3cret")
    status, body = ask(f"{base}/health/cron")
    assert (status, body) == (401, {"error": "a token is needed: Authorization: Bearer TOKEN"})
    assert ask(f"{base}/health/cron", Authorization="Bearer s3cret")[0] == 401
    assert ask(f"{base}/health/cron", Authorization="Bearer hunter2")[0] == 503
    assert ask(f"{base}/api/jobs/fine/run", "POST", Authorization="Bearer hunter2")[0] == 401
    status, body = ask(f"{base}/api/jobs/fine/run", "POST", Authorization="Bearer s3cret")
    assert status == 202
    assert [run.id for run in store.requested("shop")] == [body["run"]]


def test_asgi_wsgi_and_the_daemons_side_say_the_same(spawn: Spawn, store: SqliteStore) -> None:
    base, health = serving(spawn, store), Health(store, FakeClock(time.time()))
    for path in PATHS:
        status, headers, body = over_asgi(HealthAsgi(health), "GET", path)
        line, other = over_wsgi(HealthWsgi(health), "GET", path)
        served, there = ask(base + path)
        assert headers[b"content-type"] == b"application/json"
        assert status == int(line.split()[0]) == served, path
        assert timeless(json.loads(body)) == timeless(json.loads(other)) == timeless(there), path
    assert ask(f"{base}/health/cron/none") == (404, {"error": "unknown service", "service": "none"})
    assert ask(f"{base}/api/jobs/fine/run", "POST")[0] == 404, "starting jobs is not enabled"


def timeless(body: Any) -> Any:
    """The body without what depends on the instant of asking."""
    if isinstance(body, list):
        return [timeless(each) for each in body]
    if not isinstance(body, dict):
        return body
    passing = {"timestamp", "age_seconds", "uptime", "uptime_seconds", "tokens"}
    return {key: timeless(value) for key, value in body.items() if key not in passing}


def test_a_busy_store_does_not_hold_up_an_event_loop(store: SqliteStore) -> None:
    health = HealthAsgi(Health(store, FakeClock(time.time())))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    async def main() -> None:
        scope = {"type": "http", "method": "GET", "path": "/health/cron", "headers": []}
        with store.batch():  # this thread holds the connection; the question waits in another
            question = asyncio.create_task(health(scope, receive, send))
            await asyncio.sleep(0.05)
            assert not question.done()
        await question

    asyncio.run(main())
    assert sent[0]["status"] == 503
