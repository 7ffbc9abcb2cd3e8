"""Records for renderer tests: one app, one job, each field overridable."""

from __future__ import annotations

from typing import Any

from rota.jobs.spec import JobSpec
from rota.process.record import Record, RunSummary, Usage
from rota.process.spec import AppSpec
from rota.process.state import Down, Instance, Process, Ready

NOW = 1_800_000_000.0
"""Friday, 2027-01-15 08:00:00 UTC."""


def running(pid: int = 28949, since: float = NOW - 90) -> Ready:
    return Ready(gen=1, process=Process(pid=pid, start_ticks=5, boot_id="b", started=since), since=since)


def app(name: str = "api", *, id: int = 0, spec: dict[str, Any] | None = None, **fields: Any) -> Record:
    """A service that has been online for 90 seconds; `fields` go to the Record, or to the Instance where it has them."""
    instance: dict[str, Any] = {
        "id": id,
        "app": name,
        "number": 0,
        "unique_id": "cce1ec33-be6d-4c64-8cc3-3d278c86ed19",
        "created": NOW - 3600,
        "desired": "up",
        "actual": running(28949 + id),
        "gen": 1,
        "started": NOW - 90,
    }
    known = set(Instance.__struct_fields__)
    instance |= {key: fields.pop(key) for key in list(fields) if key in known}
    given: dict[str, Any] = {
        "name": name,
        "script": "api.py",
        "exec_path": "/srv/shop/api.py",
        "interpreter": "/srv/shop/.venv/bin/python",
        "cwd": "/srv/shop",
    }
    record: dict[str, Any] = {
        "usage": Usage(memory=53_764_096, cpu=0.3, processes=2),
        "out_path": f"/home/u/.rota/logs/{name}-out.log",
        "error_path": f"/home/u/.rota/logs/{name}-error.log",
        "pid_path": f"/home/u/.rota/pids/{name}-{id}.pid",
        "username": "u",
        "now": NOW,
    }
    return Record(instance=Instance(**instance), spec=AppSpec(**(given | (spec or {}))), **(record | fields))


def job(name: str = "snapshot", *, id: int = 9, job: JobSpec | None = None, **fields: Any) -> Record:
    """A nightly job that ended well an hour ago."""
    spec = fields.pop("spec", {}) | {"job": job or JobSpec(cron="0 2 * * *", tz="Europe/Paris")}
    run = RunSummary(outcome="ok", started=NOW - 3680, finished=NOW - 3600, runs=12, next_due=NOW + 61_200)
    given: dict[str, Any] = {"actual": Down(), "desired": "down", "usage": Usage(), "run": run}
    return app(name, id=id, spec=spec, **(given | fields))
