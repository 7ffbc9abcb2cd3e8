"""Django: `start(scheduler)` in an AppConfig's `ready`, and `urlpatterns(scheduler)` for the health endpoints."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from rota.schedule.frameworks.serving import serves

if TYPE_CHECKING:
    from rota.schedule.scheduler import Scheduler


def start(scheduler: Scheduler) -> bool:
    """Run the jobs in background threads, in processes that serve only: not under `migrate`, nor in the reloader's parent.

    Each run ends by closing old database connections, as the end of a request does. Returns whether it was started.
    """
    if not serves() or scheduler.running:
        return False
    scheduler.after_run(_close_old_connections)
    scheduler.start()
    atexit.register(scheduler.stop)
    return True


def urlpatterns(scheduler: Scheduler, *, budgets_key: str = "", run_token: str = "") -> list[Any]:
    """For `urlpatterns += rota_urls(scheduler)`: the health endpoints at their paths."""
    from django.http import HttpResponse
    from django.urls import re_path
    from django.views.decorators.csrf import csrf_exempt

    health = scheduler.health(budgets_key=budgets_key, run_token=run_token)

    def view(request: Any, *_: Any) -> Any:
        answer = health.answer(request.method or "GET", request.path_info, request.headers.get("Authorization", ""))
        response = HttpResponse(answer.payload, status=answer.status, content_type="application/json")
        response["Cache-Control"] = "no-store"
        return response

    return [re_path(r"^(health/cron|api/health|api/scraper-status|api/jobs)(/.*)?$", csrf_exempt(view))]


def _close_old_connections() -> None:
    from django.db import close_old_connections

    close_old_connections()
