"""Runs one Python block of docs/scheduler.md as a reader would, and then tries what it made: `document_block.py FILE`."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

from rota import Scheduler
from rota.testing import Simulation


def main() -> None:
    names = _run(Path(sys.argv[1]))
    tried = []
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test()
        tried.append(test.__name__)
    for rota in {value for value in names.values() if isinstance(value, Scheduler) and not tests}:
        if rota.registered:
            _simulate(rota)
            tried.append("jobs")
    if "app" in names:
        status = (
            _ask_flask(names["app"]) if hasattr(names["app"], "test_client") else asyncio.run(_ask_asgi(names["app"]))
        )
        assert status == 200, status
        tried.append("app")
    if "ShopConfig" in names:
        _ask_django()
        tried.append("app")
    print(*tried)


def _run(file: Path) -> dict[str, Any]:
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location("block", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["block"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def _simulate(rota: Scheduler) -> None:
    with Simulation(rota) as simulation:
        simulation.run_for("25h")
    runs = simulation.runs()
    assert {run.job for run in runs if run.outcome == "ok"} == set(rota.registered)
    assert [run for run in runs if run.outcome is not None and run.outcome.bad] == []


def _ask_flask(app: Any) -> int:
    try:
        return int(app.test_client().get("/api/health").status_code)
    finally:
        app.extensions["rota"].stop()


async def _ask_asgi(app: Any) -> int:
    """The app's lifespan around one question."""
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/internal/api/health", "headers": [], "query_string": b""}
    async with app.router.lifespan_context(app):
        await app(scope | {"root_path": "", "raw_path": b"", "http_version": "1.1", "scheme": "http"}, receive, send)
    return statuses[0]


def _ask_django() -> None:
    import django
    from django.conf import settings

    sys.modules["shop"] = sys.modules["block"]
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="shop", SECRET_KEY="x", INSTALLED_APPS=["shop.ShopConfig"])
    django.setup()
    from django.test import Client

    assert Client().get("/api/health").status_code == 200


if __name__ == "__main__":
    main()
