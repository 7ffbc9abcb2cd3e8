"""Why an instance is in the state it is in, and how its last process ended, as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from rota.process.restart import exit_text
from rota.process.state import Backoff, Down, Failed, Ready, Starting, Stopping, Up
from rota.render.human import age, ahead, duration, uptime_word
from rota.render.job_list import NOTHING, next_due, outcome

if TYPE_CHECKING:
    from datetime import tzinfo

    from rota.process.record import Record
    from rota.process.spec import ProbeSpec

READY_BY = {
    "spawned": "",
    "message": "it said so itself",
    "notify": "it said so itself (sd_notify)",
    "probe": "its readiness probe passed",
    "timeout": "listen_timeout passed without a word from it",
}


def last_exit_text(record: Record, now: float = 0.0) -> str:
    """`exit code 3, 5m ago`; "" before the first exit."""
    last = record.instance.last_exit
    if last is None:
        return ""
    unseen = "" if last.known else " (it ended while nothing was watching)"
    return f"{exit_text(last)}{unseen}, {_ago((now or record.now) - last.at)}"


def reason(record: Record, now: float = 0.0, zone: tzinfo | None = None) -> str:
    """One sentence: what the instance is doing and why. `now` 0 means the time the record was taken."""
    now = now or record.now
    actual, instance = record.instance.actual, record.instance
    match actual:
        case Ready():
            how = READY_BY.get(actual.how, actual.how)
            ready = f"; ready because {how}" if how else ""
            return f"running for {uptime_word(now - instance.started)}{ready}{_because(instance.restart_reason)}"
        case Up():
            return f"running for {uptime_word(now - instance.started)}, not ready yet{_awaited(record)}"
        case Starting():
            return "being started"
        case Stopping():
            return _stopping(actual, now)
        case Backoff():
            return f"{_ended(record, actual.reason, now)}; starts again {_in(actual.until - now)}"
        case Failed():
            return f"given up: {_ended(record, actual.reason, now)}"
        case Down() if record.run and record.spec.job:
            return _between_runs(record, now, zone)
        case Down():
            return _ended(record, actual.reason, now) or "not started"
        case _:
            assert_never(actual)


def _because(why: str) -> str:
    if not why or why.startswith(("started", "restarted", "scaled", "reloaded")):
        return f"; {why}" if why else ""
    return f"; started because: {why}"


def _ended(record: Record, why: str, now: float) -> str:
    last = record.instance.last_exit
    if last is None:
        return why
    if exit_text(last) in why:  # the policy's own words name the exit already
        return f"{why}, {_ago(now - last.at)}"
    return f"{why}; last: {last_exit_text(record, now)}" if why else f"ended: {last_exit_text(record, now)}"


def _between_runs(record: Record, now: float, zone: tzinfo | None) -> str:
    due, last = next_due(record, now, zone), outcome(record)
    ended = record.run.finished if record.run else None
    before = "no run yet" if ended is None else f"last run {last}, {_ago(now - ended)}"
    return f"{before}; {'nothing is planned' if due == NOTHING else due if due == 'paused' else f'due {due}'}"


def _stopping(actual: Stopping, now: float) -> str:
    what = "being stopped" if actual.process else "main process ended, being rid of what it left behind"
    forced = ", SIGKILL was sent" if actual.forced else ""
    return f"{what} for {duration(now - actual.since)}{forced}" + (f": {actual.reason}" if actual.reason else "")


def _awaited(record: Record) -> str:
    spec = record.spec
    if spec.ready:
        return f": waiting until {probe_text(spec.ready)} (at most {duration(spec.ready.deadline)})"
    if spec.wait_ready:
        return f": waiting for its ready message (at most {duration(spec.listen_timeout)})"
    return ""


def probe_text(probe: ProbeSpec | None) -> str:
    """`http://127.0.0.1:8000/healthz answers`, `tcp 127.0.0.1:80 accepts`, ...; "" without a probe."""
    if probe is None:
        return ""
    match probe.kind:
        case "http":
            return f"{probe.target} answers"
        case "tcp":
            return f"{probe.target} accepts connections"
        case "exec":
            return f"`{' '.join(probe.command)}` succeeds"
        case "log":
            return f"a line of its log matches {probe.target}"


def _ago(seconds: float) -> str:
    return "just now" if seconds < 1 else age(seconds)


def _in(seconds: float) -> str:
    return f"in {duration(seconds)}" if 0 < seconds < 60 else ahead(seconds)
