"""Django: `start(scheduler)` in an AppConfig's `ready`, and `urlpatterns(scheduler)` for the health endpoints.

Django is imported by name, when used: it is the app's dependency, never rota's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rota.schedule.frameworks.serving import start_where_served

if TYPE_CHECKING:
    from rota.schedule.scheduler import Scheduler


def start(scheduler: Scheduler) -> bool:
    """Run the jobs in background threads, in processes that serve only: not under `migrate`, nor in the reloader's parent.

    Each run ends by closing old database connections, as the end of a request does. Returns whether it will.
    """
    starts = start_where_served(scheduler)
    if starts:
        scheduler.after_run(_close_old_connections)
    return starts


def urlpatterns(scheduler: Scheduler, *, budgets_key: str = "", run_token: str = "") -> list[Any]:
    """The health endpoints at their paths: `urlpatterns = [..., *rota_django.urlpatterns(scheduler)]`."""
    respond = import_module("django.http").HttpResponse
    csrf_exempt = import_module("django.views.decorators.csrf").csrf_exempt
    health = scheduler.health(budgets_key=budgets_key, run_token=run_token)

    def view(request: Any, *_: Any) -> Any:
        answer = health.answer(request.method or "GET", request.path_info, request.headers.get("Authorization", ""))
        response = respond(answer.payload, status=answer.status, content_type="application/json")
        response["Cache-Control"] = "no-store"
        return response

    paths = r"^(health/cron|api/health|api/scraper-status|api/jobs)(/.*)?$"
    return [import_module("django.urls").re_path(paths, csrf_exempt(view))]


def _close_old_connections() -> None:
    import_module("django.db").close_old_connections()
