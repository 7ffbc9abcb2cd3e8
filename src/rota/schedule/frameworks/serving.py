"""Where jobs run: in processes that serve, as opposed to those that migrate a database, watch files or only fork others."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota.schedule.scheduler import Scheduler


def start_where_served(scheduler: Scheduler) -> bool:
    """Start here, if this process serves; in the master of a server that loads the app before it forks
    (gunicorn's `--preload`) start in each worker instead, as soon as it is forked. Whether one of the two happens."""
    if not serves() or scheduler.running:
        return False
    if _is_master():
        os.register_at_fork(after_in_child=partial(_start_in_worker, scheduler, os.getpid()))
    else:
        scheduler.start()
    return True


def _start_in_worker(scheduler: Scheduler, master: int) -> None:
    # A worker's own children inherit the hook too, and serve nothing.
    if os.getppid() == master and not scheduler.running:
        scheduler.start()


def _is_master() -> bool:
    """Whether the app is being loaded by gunicorn's arbiter rather than by one of its workers: who called tells."""
    callers, frame = set[str](), sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        callers.add(str(frame.f_globals.get("__name__")))
    return "gunicorn.arbiter" in callers and not any(name.startswith("gunicorn.workers") for name in callers)


def serves(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a scheduler should run here.

    False for Django's management commands other than `runserver`, for Flask's other than `run`, and for the parent of
    an auto-reloader (Django's and Werkzeug's), whose child is the one that serves. True for everything else: gunicorn,
    uvicorn, a program of your own.
    """
    argv = sys.argv if argv is None else argv
    environ = os.environ if environ is None else environ
    program = os.path.basename(argv[0]) if argv else ""
    arguments = list(argv[1:])
    if program in ("manage.py", "django-admin", "django-admin.py") or argv[:1] == ["-m"]:
        if not arguments or arguments[0] != "runserver":
            return False
        return "--noreload" in arguments or environ.get("RUN_MAIN") == "true"
    if program in ("flask", "flask.exe") or (program == "__main__.py" and "flask" in (argv[0] if argv else "")):
        reloads = any(flag in arguments for flag in ("--debug", "--reload")) or environ.get("FLASK_DEBUG") == "1"
        return "run" in arguments and (not reloads or environ.get("WERKZEUG_RUN_MAIN") == "true")
    return True
