"""Calling a job's function, and what an exception becomes in the ledger."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.schedule.job import Job
    from rota.schedule.run import Run

_LONGEST = 500
"""Characters of an error kept in the ledger."""


def call(job: Job, run: Run) -> Any:
    """Call the function with what it was registered with, and the run if it takes one."""
    kwargs = dict(job.kwargs or {})
    if job.passes_run == "first":
        return job.func(run, *job.args, **kwargs)
    if job.passes_run == "keyword":
        kwargs["run"] = run
    return job.func(*job.args, **kwargs)


def describe(error: BaseException) -> str:
    """One line: the exception's type and message."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    line = f"{name}: {text}" if text else name
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def trace(error: BaseException) -> str:
    """The traceback for the log, without rota's own frames at its top."""
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None and "rota/schedule" in entry.tb_frame.f_code.co_filename:
        entry = entry.tb_next
    return "".join(traceback.format_exception(type(error), error, entry))
