"""Flask: `init_app(app, scheduler)` starts the jobs with the app and answers the health endpoints in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.schedule.frameworks.serving import start_where_served

if TYPE_CHECKING:
    from rota.schedule.scheduler import Scheduler


def init_app(
    app: Any, scheduler: Scheduler, *, health: bool = True, budgets_key: str = "", run_token: str = ""
) -> None:
    """Run the jobs in background threads of every process that serves this app; due times are claimed, so each runs once.

    Under gunicorn these are the workers, with and without `--preload`; a forking server of another kind that loads the app
    before it forks needs `scheduler.start()` in its own hook.

    Args:
        app: the Flask application.
        scheduler: whose jobs to run.
        health: answer `/health/cron`, `/api/health`, `/api/health/cron`, `/api/scraper-status` in front of the app.
        budgets_key, run_token: see `Scheduler.health`.
    """
    app.extensions["rota"] = scheduler
    if health:
        app.wsgi_app = scheduler.health_wsgi(budgets_key=budgets_key, run_token=run_token).before(app.wsgi_app)
    start_where_served(scheduler)
