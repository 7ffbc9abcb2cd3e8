"""Health: the exact shapes, when things count as stalled, and the endpoints over ASGI and WSGI."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults

import pytest

from rota import Budget, Scheduler
from rota.errors import StoreUnavailable
from rota.jobs.run import Outcome, RunState
from rota.schedule.health import shapes
from rota.schedule.health.asgi import HealthAsgi
from rota.schedule.health.routes import Health
from rota.schedule.health.text import cron_table, service_text
from rota.schedule.health.wsgi import HealthWsgi
from rota.stores.memory import MemoryStore
from rota.stores.records import CheckpointRecord, Claim, Claimed, Ending, Heartbeat, JobRecord, RunRecord, Worker
from rota.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

START = "2026-01-01T12:00:00"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    opened = MemoryStore()
    opened.register(JobRecord(app="shop", name="poller", schedule="every 2m", every=120.0, registered_at=clock.now()))
    cron = JobRecord(app="shop", name="nightly", schedule="0 2 * * * UTC", cron="0 2 * * *", registered_at=clock.now())
    opened.register(cron)
    return opened


@pytest.fixture
def health(store: MemoryStore, clock: FakeClock) -> Health:
    return Health(store, clock)


def run_once(
    store: MemoryStore, clock: FakeClock, outcome: Outcome = Outcome.OK, job: str = "poller", error: str = ""
) -> int:
    now = clock.now()
    claim = Claim(app="shop", job=job, worker=Worker("w"), now=now, lease_until=now + 30, due=now)
    run = store.claim(claim)
    assert isinstance(run, Claimed)
    clock.advance(1.5)
    assert store.finish(run.id, run.fence, Ending(outcome=outcome, finished=clock.now(), error=error))
    return run.id


def test_cron_health_has_exactly_this_shape(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    run_once(store, clock)
    Budget("lookup", limit=15, per="15m", store=store, clock=clock).try_take(4)
    clock.advance(10)
    answer = health.cron()
    assert (answer.status, answer.body) == (
        200,
        {
            "timestamp": "2026-01-01T12:00:11.500Z",
            "services": [
                {"service": "nightly", "last_run": None, "age_seconds": None, "status": "NEVER_RUN"},
                {"service": "poller", "last_run": "2026-01-01T12:00:01.500Z", "age_seconds": 10.0, "status": "HEALTHY"},
            ],
            "stalled_services": [],
            "budgets": {"lookup": {"tokens": 11.0, "capacity": 15.0}},
        },
    )


def test_budgets_carry_a_second_name_when_configured(health: Health) -> None:
    body = replace(health, budgets_key="x_api_status").cron().body
    assert body["x_api_status"] == body["budgets"]
    assert "x_api_status" not in health.cron().body


def test_a_service_silent_for_twice_its_interval_is_stalled(
    store: MemoryStore, clock: FakeClock, health: Health
) -> None:
    run_once(store, clock)
    clock.advance(239)
    assert health.cron().status == 200
    clock.advance(2)
    answer = health.cron()
    assert (answer.status, answer.body["stalled_services"]) == (503, ["poller"])


def test_a_service_that_never_ran_stalls_too(clock: FakeClock, health: Health) -> None:
    clock.advance(241)
    assert health.cron().body["stalled_services"] == ["poller"]


JOB = JobRecord(app="a", name="j", every=60.0, registered_at=1000.0, last_finished=1000.0, last_outcome=Outcome.OK)
RUNNING = RunRecord(id=1, app="a", job="j", due=None, trigger="cron", state=RunState.RUNNING, progress_at=1990.0)
CRON = replace(JOB, every=0.0, cron="0 2 * * *")


@pytest.mark.parametrize(
    ("job", "running", "now", "status"),
    [
        (JOB, [], 1100.0, "HEALTHY"),
        (JOB, [], 1121.0, "STALLED"),
        (replace(JOB, paused=True), [], 9999.0, "PAUSED"),
        (replace(JOB, last_outcome=Outcome.FAILED), [], 1100.0, "FAILING"),
        (replace(JOB, last_outcome=Outcome.ABANDONED), [], 1100.0, "FAILING"),
        (replace(JOB, last_outcome=Outcome.CANCELLED), [], 1100.0, "HEALTHY"),
        (replace(JOB, last_outcome=Outcome.FAILED), [], 1121.0, "STALLED"),
        (replace(JOB, last_finished=None, last_outcome=None), [], 1100.0, "NEVER_RUN"),
        (replace(JOB, stale_after=500.0), [], 1499.0, "HEALTHY"),
        (replace(JOB, stale_after=500.0), [], 1501.0, "STALLED"),
        (replace(JOB, last_started=1900.0), [], 2000.0, "HEALTHY"),
        (JOB, [RUNNING], 2000.0, "HEALTHY"),
        (JOB, [replace(RUNNING, progress_at=1500.0)], 2000.0, "STALLED"),
        (CRON, [], 10_000_000.0, "HEALTHY"),
        (replace(CRON, expected_by=2000.0), [], 1999.0, "HEALTHY"),
        (replace(CRON, expected_by=2000.0), [], 2001.0, "STALLED"),
        (replace(CRON, expected_by=2000.0, stale_after=9000.0), [], 2001.0, "HEALTHY"),
    ],
)  # fmt: skip
def test_status(job: JobRecord, running: list[RunRecord], now: float, status: str) -> None:
    assert shapes.status_of(job, running, now) == status


def test_one_service_in_detail(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    run_once(store, clock, Outcome.FAILED, error="ValueError: no")
    claim = Claim(app="shop", job="poller", worker=Worker("w"), now=clock.now(), lease_until=clock.now() + 30, due=1.0)
    running = store.claim(claim)
    assert isinstance(running, Claimed)
    clock.advance(10)
    store.progress(running.id, running.fence, 200, 500, clock.now())
    answer = health.service("poller")

    assert answer.status == 503
    body = answer.body
    assert (body["service"], body["app"], body["status"], body["interval_seconds"]) == (
        "poller",
        "shop",
        "FAILING",
        120.0,
    )
    assert (body["schedule"], body["last_duration_seconds"], body["last_error"]) == ("every 2m", 1.5, "ValueError: no")
    assert (body["run_count"], body["error_count"], body["next_run"]) == (1, 1, None)
    assert body["running"][0]["progress"] == {"done": 200, "total": 500, "rate": 20.0, "eta_seconds": 15.0}
    assert [run["outcome"] for run in body["recent_runs"]] == ["failed"]
    assert health.service("nightly").body["interval_seconds"] is None


def test_an_unknown_service_is_a_404_with_a_body(health: Health) -> None:
    answer = health.answer("GET", "/health/cron/none")
    assert (answer.status, answer.body) == (404, {"error": "unknown service", "service": "none"})


def test_api_health_cron_has_exactly_this_shape(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    run_once(store, clock)
    run_once(store, clock, Outcome.TIMEOUT, "nightly")
    answer = health.answer("GET", "/api/health/cron")
    assert (answer.status, answer.body) == (
        503,
        {
            "status": "unhealthy",
            "timestamp": "2026-01-01T12:00:03.000Z",
            "jobs": [
                {
                    "name": "nightly", "schedule": "0 2 * * * UTC", "lastRun": "2026-01-01T12:00:03.000Z",
                    "lastStatus": "error", "runCount": 1, "errorCount": 1, "uptime": 3000, "healthy": False,
                },
                {
                    "name": "poller", "schedule": "every 2m", "lastRun": "2026-01-01T12:00:01.500Z",
                    "lastStatus": "success", "runCount": 1, "errorCount": 0, "uptime": 3000, "healthy": True,
                },
            ],
        },
    )  # fmt: skip


def test_api_health_cron_without_runs(health: Health) -> None:
    answer = health.jobs()
    assert (answer.status, answer.body["status"]) == (200, "healthy")
    assert {job["lastStatus"] for job in answer.body["jobs"]} == {None}


def test_scraper_status_has_exactly_this_shape(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    point = CheckpointRecord(source="treasury", chain="eth", last_block=12, records_total=34, updated_at=clock.now())
    store.save_checkpoint(replace(point, stale_after=60.0, data='{"cursor": "abc"}'))
    store.save_checkpoint(CheckpointRecord(source="prices", updated_at=clock.now(), stale_after=5.0))
    clock.advance(10)
    answer = health.answer("GET", "/api/scraper-status")
    assert (answer.status, answer.body["healthy"], answer.body["stale"]) == (503, False, ["prices"])
    assert answer.body["states"][1] == {
        "source": "treasury", "chain": "eth", "last_block": 12, "records_total": 34,
        "updated_at": "2026-01-01T12:00:00.000Z", "cursor": "abc", "age_seconds": 10.0, "stale_after": 60.0,
    }  # fmt: skip
    clock.advance(60)
    assert health.scrapers().body["stale"] == ["prices", "treasury/eth"]
    store.drop_checkpoint("prices", "")
    store.save_checkpoint(replace(point, updated_at=clock.now()))
    assert health.scrapers().status == 200


def test_liveness_is_told_by_heartbeats(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    assert health.live().status == 503
    beat = Heartbeat(
        name="scheduler h:1:a",
        app="shop",
        host="h",
        pid=1,
        at=clock.now(),
        expected_by=clock.now() + 10,
        detail='{"jobs": 2}',
    )
    store.beat(beat)
    answer = health.answer("GET", "/api/health")
    assert (answer.status, answer.body["status"]) == (200, "healthy")
    worker = answer.body["workers"][0]
    assert (worker["worker"], worker["pid"], worker["alive"], worker["jobs"]) == ("h:1:a", 1, True, 2)
    clock.advance(11)
    assert health.live().status == 503


def test_heartbeats_of_your_own_are_services(store: MemoryStore, clock: FakeClock) -> None:
    rota = Scheduler(store, name="shop", clock=clock)
    rota.heartbeat("consumer", every="30s").beat(offset=17)
    health = rota.health()
    assert {service["service"]: service["status"] for service in health.cron().body["services"]}[
        "consumer"
    ] == "HEALTHY"
    assert health.service("consumer").body["detail"] == {"offset": 17}
    clock.advance(61)
    assert health.service("consumer").status == 503
    rota.heartbeat("consumer").stop()
    assert health.service("consumer").status == 404


def test_a_scheduler_that_does_not_run_is_not_alive(store: MemoryStore, clock: FakeClock) -> None:
    answer = Scheduler(store, name="shop", clock=clock).health().live()
    assert (answer.status, answer.body["scheduler"]["running"]) == (503, False)


def test_jobs_of_one_name_in_two_apps_are_told_apart(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    store.register(JobRecord(app="blog", name="poller", every=60.0, registered_at=clock.now()))
    names = [service["service"] for service in health.cron().body["services"]]
    assert names == ["blog/poller", "nightly", "shop/poller"]
    assert health.answer("GET", "/health/cron/blog/poller").body["app"] == "blog"
    assert [s["service"] for s in replace(health, app="shop").cron().body["services"]] == ["nightly", "poller"]


def test_running_a_job_needs_to_be_enabled_and_a_token(store: MemoryStore, health: Health) -> None:
    assert health.answer("POST", "/api/jobs/poller/run").status == 404
    enabled = replace(health, run_token="s3cret")
    assert enabled.answer("POST", "/api/jobs/poller/run").status == 401
    assert enabled.answer("POST", "/api/jobs/poller/run", "Bearer wrong").status == 401
    assert enabled.answer("POST", "/api/jobs/none/run", "Bearer s3cret").status == 404
    answer = enabled.answer("POST", "/api/jobs/poller/run", "Bearer s3cret")
    assert (answer.status, answer.body) == (202, {"run": 1, "job": "poller"})
    assert [run.trigger for run in store.requested("shop")] == ["manual"]
    assert "s3cret" not in json.dumps([enabled.cron().body, answer.body])


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("DELETE", "/health/cron", 405), ("GET", "/health/cron/", 200)]
)
def test_other_requests(health: Health, method: str, path: str, status: int) -> None:
    assert health.answer(method, path).status == status


def test_a_store_that_cannot_be_read_is_unhealthy_and_tells_no_secrets(
    health: Health, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailable("cannot open /home/me/secret.db")

    monkeypatch.setattr(store, "jobs", fail)
    answer = health.answer("GET", "/health/cron")
    assert answer.status == 503
    assert "secret" not in json.dumps(answer.body)


def over_asgi(app: Callable[..., Any], method: str, path: str, **scope: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    base = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(app(base | scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_over_asgi(health: Health) -> None:
    app = HealthAsgi(health)
    status, headers, body = over_asgi(app, "GET", "/health/cron")
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert json.loads(body)["stalled_services"] == []
    assert over_asgi(app, "HEAD", "/health/cron")[2] == b""
    assert over_asgi(app, "GET", "/internal/health/cron", root_path="/internal")[0] == 200
    assert over_asgi(app, "GET", "/health/cron", root_path="/internal")[0] == 200
    enabled = HealthAsgi(replace(health, run_token="t"))
    header = [(b"authorization", b"Bearer t")]
    assert over_asgi(enabled, "POST", "/api/jobs/poller/run", headers=header)[0] == 202


def test_asgi_lifespan(health: Health) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(HealthAsgi(health)({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def over_wsgi(app: Callable[..., Any], method: str, path: str, **environ: str) -> tuple[str, bytes]:
    request: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, **environ}
    setup_testing_defaults(request)
    statuses: list[str] = []
    body = b"".join(app(request, lambda status, headers: statuses.append(status)))
    return statuses[0], body


def test_over_wsgi(health: Health) -> None:
    app = HealthWsgi(health)
    status, body = over_wsgi(app, "GET", "/api/health/cron")
    assert (status, json.loads(body)["status"]) == ("200 OK", "healthy")
    assert over_wsgi(app, "GET", "/health/cron/h\u00c3\u00a4m")[0] == "404 Not Found"
    assert over_wsgi(app, "HEAD", "/health/cron")[1] == b""


def test_wsgi_middleware_answers_its_own_paths_only(health: Health) -> None:
    def rest(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"the app"]

    app = HealthWsgi(health).before(rest)
    assert over_wsgi(app, "GET", "/shop")[1] == b"the app"
    assert over_wsgi(app, "GET", "/health/cronicle")[1] == b"the app"
    assert json.loads(over_wsgi(app, "GET", "/health/cron")[1])["services"]


def test_health_for_people(store: MemoryStore, clock: FakeClock, health: Health) -> None:
    run_once(store, clock, Outcome.FAILED, error="ValueError: no")
    Budget("lookup", limit=15, per="15m", store=store, clock=clock).try_take(4)
    table = cron_table(health.cron().body)
    assert table.splitlines()[:3] == [
        "SERVICE  STATUS     LAST RUN                  AGE",
        "poller   FAILING    2026-01-01T12:00:01.500Z  0s",
        "nightly  NEVER_RUN  never                     -",
    ]
    assert "lookup  11      15" in table
    text = service_text(health.service("poller").body)
    assert "ValueError: no" in text
    assert "failed" in text
    assert cron_table(Health(MemoryStore(), clock).cron().body) == "no jobs are known"
