"""From a request to an answer, for ASGI, WSGI and the command line alike.

Modules that only an answer needs are imported there: every scheduler imports this one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota.errors import StoreUnavailable
from rota.schedule.health import shapes
from rota.timing.lease import scheduler_stalled

if TYPE_CHECKING:
    from rota.clock import Clock
    from rota.schedule.scheduler import Scheduler
    from rota.stores.base import Store
    from rota.stores.records import JobRecord

RECENT = 20
"""Runs shown of one service."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON body."""

    status: int
    body: dict[str, Any]

    @property
    def payload(self) -> bytes:
        """The body as sent."""
        return json.dumps(self.body, separators=(",", ":"), default=str).encode()


@dataclass(frozen=True, slots=True)
class Health:
    """What the endpoints look at.

    Args:
        store: where the records are.
        clock: for "now".
        app: only this app's jobs; None = everybody's, the daemon's included.
        scheduler: this process's own, if it has one.
        budgets_key: a second name for the budgets in `/health/cron`, as "x_api_status".
        run_token: enables `POST /api/jobs/{name}/run` for those who send `Authorization: Bearer TOKEN`.
    """

    store: Store
    clock: Clock
    app: str | None = None
    scheduler: Scheduler | None = None
    budgets_key: str = ""
    run_token: str = ""

    def answer(self, method: str, path: str, authorization: str = "") -> Answer:
        """The answer to a request. Never raises: a store that cannot be read is a 503 too."""
        from urllib.parse import unquote

        parts = [unquote(part) for part in path.split("?", 1)[0].split("/") if part]
        try:
            if method in ("GET", "HEAD"):
                return self._get(parts)
            if method == "POST" and len(parts) == 4 and parts[:2] == ["api", "jobs"] and parts[3] == "run":
                return self._run(parts[2], authorization)
        except StoreUnavailable as error:
            return Answer(503, {"status": "unhealthy", "error": "the store cannot be read", "code": error.code})
        return Answer(405, {"error": "method not allowed"})

    def cron(self) -> Answer:
        """`/health/cron`."""
        jobs, running, now = self._jobs(), self._running(), self.clock.now()
        found = shapes.services(jobs, running, self.store.heartbeats(self.app), now)
        body = shapes.cron_health(found, self._levels(), now, self.budgets_key)
        return Answer(200 if shapes.all_well(found) else 503, body)

    def service(self, name: str) -> Answer:
        """`/health/cron/{service}`."""
        now = self.clock.now()
        job = self._find(name)
        if job is not None:
            runs = self.store.runs(job.app, job.name, limit=RECENT)
            body = shapes.service_detail(job, name, runs, now)
        else:
            beats = [beat for beat in self.store.heartbeats(self.app) if beat.name == name]
            if not beats or name.startswith(shapes.SCHEDULER):
                return Answer(404, {"error": "unknown service", "service": name})
            body = shapes.beat_detail(beats[0], now)
        return Answer(503 if body["status"] in ("STALLED", "FAILING") else 200, body)

    def jobs(self) -> Answer:
        """`/api/health/cron`."""
        body = shapes.cron_jobs(self._jobs(), self._running(), self.clock.now())
        return Answer(200 if body["status"] == "healthy" else 503, body)

    def live(self) -> Answer:
        """`/api/health`."""
        body = shapes.liveness(self.store.heartbeats(self.app), self.clock.now(), self._own())
        return Answer(200 if body["status"] == "healthy" else 503, body)

    def scrapers(self) -> Answer:
        """`/api/scraper-status`."""
        points = [point for point in self.store.checkpoints() if self.app in (None, point.app) or not point.app]
        body = shapes.scraper_status(points, self.clock.now())
        return Answer(200 if body["healthy"] else 503, body)

    def _get(self, parts: list[str]) -> Answer:
        match parts:
            case ["health", "cron"]:
                return self.cron()
            case ["health", "cron", *name]:
                return self.service("/".join(name))
            case ["api", "health", "cron"]:
                return self.jobs()
            case ["api", "health"]:
                return self.live()
            case ["api", "scraper-status"]:
                return self.scrapers()
        return Answer(404, {"error": "not found"})

    def _run(self, name: str, authorization: str) -> Answer:
        if not self.run_token:
            return Answer(404, {"error": "not found"})
        import hmac

        if not hmac.compare_digest(authorization.encode(), f"Bearer {self.run_token}".encode()):
            return Answer(401, {"error": "a token is needed: Authorization: Bearer TOKEN"})
        job = self._find(name)
        if job is None:
            return Answer(404, {"error": "unknown job", "job": name})
        if self.scheduler is not None and job.app == self.scheduler.name and job.name in self.scheduler.registered:
            run = self.scheduler.trigger(job.name).id
        else:
            run = self.store.request(job.app, job.name, self.clock.now(), note="asked for over HTTP")
        return Answer(202, {"run": run, "job": name})

    def _find(self, name: str) -> JobRecord | None:
        jobs = self._jobs()
        names = shapes.unique_names(jobs)
        # `app/name`, as `rota list` shows it, always means the same.
        return next((job for job in jobs if name in (names[job.app, job.name], f"{job.app}/{job.name}")), None)

    def _jobs(self) -> list[JobRecord]:
        return self.store.jobs(self.app)

    def _running(self) -> list[Any]:
        return self.store.runs(self.app, unfinished=True, limit=1000)

    def _levels(self) -> list[Any]:
        # Budgets of a store of one process count on the monotonic clock: see Store.shared.
        return self.store.budget_levels(self.clock.now() if self.store.shared else self.clock.monotonic())

    def _own(self) -> dict[str, Any] | None:
        scheduler = self.scheduler
        if scheduler is None:
            return None
        engine = scheduler.engine
        if engine is None or not scheduler.running:
            return {"running": False, "stalled": False, "last_tick_age_seconds": None}
        now = self.clock.monotonic()
        stalled = scheduler_stalled(engine.last_tick, now, engine.longest_sleep)
        age = round(max(0.0, now - engine.last_tick), 3)
        return {"running": True, "stalled": stalled, "last_tick_age_seconds": age, **engine.detail}
