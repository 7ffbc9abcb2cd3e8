"""Whether this process serves, as opposed to one that migrates a database or watches files for changes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
