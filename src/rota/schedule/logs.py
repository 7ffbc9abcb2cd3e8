"""Log lines of the scheduler: for people, or as JSON, through the standard logger `rota.schedule`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rota.timing.duration import format_duration

if TYPE_CHECKING:
    from rota.jobs.run import Outcome
    from rota.schedule.execution import Execution
    from rota.schedule.holds import Hold
    from rota.schedule.job import Job

logger = logging.getLogger("rota.schedule")


class EventLog:
    """One method per thing that happens. Each record carries its facts as `record.rota`, for JSON and for your handlers."""

    def registered(self, job: Job, next_start: float | None) -> None:
        """A job is known and armed."""
        if not logger.isEnabledFor(logging.INFO):
            return
        when = "by hand only" if next_start is None else f"next {_clock(next_start)}"
        what = job.text or (f"after {', '.join(job.spec.after)}" if job.spec.after else "no schedule")
        _say(logging.INFO, "registered", job.name, f"{what}, {when}", next=_iso(next_start), schedule=job.text)

    def started(self, execution: Execution, lateness: float | None) -> None:
        """An attempt begins."""
        if not logger.isEnabledFor(logging.INFO):
            return
        late = "" if lateness is None or lateness < 1 else f", {_spell(lateness)} late"
        again = f", attempt {execution.attempt}" if execution.attempt > 1 else ""
        self._run(logging.INFO, "started", execution, f"{_facts(execution)}{again}{late}", lateness=lateness)

    def ended(self, execution: Execution, outcome: Outcome, seconds: float, error: str, traceback: str) -> None:
        """A run is over."""
        event = "completed" if outcome.value == "ok" else outcome.value
        level = logging.ERROR if outcome.bad else logging.INFO
        if not logger.isEnabledFor(level):
            return
        text = f"in {_spell(seconds)}{_facts(execution, ', ')}{f': {error}' if error else ''}"
        self._run(
            level, event, execution, text, traceback, seconds=round(seconds, 6), error=error, outcome=outcome.value
        )

    def retrying(self, execution: Execution, outcome: Outcome, error: str, traceback: str, wait: float) -> None:
        """An attempt ended badly and another follows."""
        text = f"attempt {execution.attempt} {outcome.value}: {error}; again in {_spell(wait)}"
        self._run(logging.WARNING, "retrying", execution, text, traceback, error=error, wait=round(wait, 3))

    def unrun(self, job: Job, outcome: Outcome, due: float, reason: str, count: int = 1) -> None:
        """A due time at which nothing starts."""
        level = logging.WARNING if outcome.value == "missed" else logging.INFO
        many = f"{count} due times up to " if count > 1 else "due "
        _say(
            level, outcome.value, job.name, f"{many}{_clock(due)}: {reason}", due=_iso(due), count=count, reason=reason
        )

    def trouble(self, job: str, error: BaseException) -> None:
        """Something in the scheduler itself, or in a schedule, went wrong; it goes on."""
        from rota.schedule.runners.calls import describe, trace

        text = f"{describe(error)}; it is looked at again in an hour" if job else describe(error)
        _say(logging.ERROR, "trouble", job, text, trace(error), error=describe(error))

    def held(self, job: Job, hold: Hold) -> None:
        """No automatic run for a while."""
        level, event = (logging.ERROR, "breaker") if hold.kind == "breaker" else (logging.WARNING, "stretched")
        _say(level, event, job.name, hold.text, **hold.facts)

    def job(self, level: int, event: str, name: str, text: str, **facts: Any) -> None:
        """Anything else about a job."""
        _say(level, event, name, text, **facts)

    def scheduler(self, level: int, event: str, text: str, **facts: Any) -> None:
        """Anything about the scheduler itself; `about` names a job it has to do with."""
        _say(level, event, "", text, **facts)

    def _run(self, level: int, event: str, execution: Execution, text: str, traceback: str = "", **facts: Any) -> None:
        if not logger.isEnabledFor(level):
            return
        facts |= {"run": execution.id, "due": _iso(execution.due), "attempt": execution.attempt}
        _say(level, event, execution.job.name, text, traceback, trigger=execution.trigger, **facts)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, event, job, message, and the event's facts. No environment values."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "rota", {}),
        }
        for extra in ("job", "run"):
            if extra not in line and hasattr(record, extra):
                line[extra] = getattr(record, extra)
        if record.exc_info or record.exc_text:
            line["traceback"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(line, default=str)


class HumanFormatter(logging.Formatter):
    """`2026-03-01 12:00:00 info   poller completed in 1.2s`, with the traceback of a failure below."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        job = getattr(record, "job", "")
        name = f"{job}: " if job and not hasattr(record, "rota") else ""
        line = f"{time} {record.levelname.lower():<7} {name}{record.getMessage()}"
        traceback = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        return f"{line}\n{traceback.rstrip()}" if traceback else line


def configure(kind: str, handler: logging.Handler | None = None) -> logging.Handler:
    """Send the scheduler's lines to stderr, "human" or "json". Returns the handler, for `logger.removeHandler`."""
    handler = handler or logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if kind == "json" else HumanFormatter())
    logger.addHandler(handler)
    logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    logger.propagate = False
    return handler


def _say(level: int, event: str, job: str, text: str, traceback: str = "", **facts: Any) -> None:
    if not logger.isEnabledFor(level):
        return
    message = f"{job} {event} {text}" if job else text
    rota = {"event": event, **({"job": job} if job else {}), **facts}
    record = logger.makeRecord(logger.name, level, "rota", 0, "%s", (message.strip(),), None, extra={"rota": rota})
    record.exc_text = traceback.rstrip() or None  # any formatter prints it below the line
    logger.handle(record)


def _facts(execution: Execution, start: str = "") -> str:
    due = "" if execution.due is None else f", due {_clock(execution.due)}"
    return f"{start}run {execution.id}{due}"


def _spell(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 60 else format_duration(round(seconds))


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
