"""Jobs in the list: when, how the last run ended, when the next is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.jobs.spec import JobSpec
from rota.process.record import RunSummary
from rota.process.restart import signal_name
from rota.process.state import Backoff, Down, Failed, Stopping, status_word
from rota.render.human import age, ahead, bytes_word, clock_time, duration, percent
from rota.render.table import Column
from rota.render.text import BLUE, BOLD_CYAN, DIM, GREEN, RED, YELLOW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from rota.process.record import Record

NOTHING = "-"
OUTCOME_CODES = {"ok": GREEN, "skipped": YELLOW, "missed": YELLOW, "cancelled": YELLOW, "": DIM}
"""Colour of an outcome; the others are red."""
_STATE_CODES = {"running": GREEN, "waiting": BLUE, "manual": DIM, "errored": RED}


def job_columns(records: Sequence[Record], now: float, zone: tzinfo | None = None) -> list[Column]:
    """The columns of the table of jobs, widest form."""
    states = [job_state(record, now) for record in records]
    runs = [record.run or RunSummary() for record in records]
    jobs = [record.spec.job or JobSpec() for record in records]
    dues = [next_due(record, now, zone) for record in records]
    namespaces = [record.spec.namespace for record in records]
    return [
        # A job inside an app is no instance of ours, and has no id.
        Column(
            "id", [str(record.instance.id) if record.instance.id >= 0 else NOTHING for record in records], 0, BOLD_CYAN
        ),
        Column("job", [record.spec.name for record in records], key="name"),
        Column("namespace", namespaces),
        Column("schedule", [schedule(job) for job in jobs], short=[schedule(job, zone=False) for job in jobs]),
        Column(
            "last", [outcome(record) for record in records], 0, [OUTCOME_CODES.get(run.outcome, RED) for run in runs]
        ),
        Column("ended", [_ended(record, run, now) for record, run in zip(records, runs, strict=True)]),
        Column("took", [took(run) for run in runs]),
        Column("next due", dues, short=[due.partition(",")[0] for due in dues]),
        Column("runs", [str(run.runs) for run in runs]),
        Column("status", states, 0, [_STATE_CODES.get(state.partition(" ")[0], YELLOW) for state in states]),
        Column("cpu", [percent(record.usage.cpu) for record in records]),
        Column("mem", [bytes_word(record.usage.memory) for record in records]),
    ]


def schedule(job: JobSpec, zone: bool = True) -> str:
    """The trigger in the words of the file: `0 2 * * * Europe/Paris`, `every 2m`, `after import`, `by hand`."""
    if job.cron:
        return f"{job.cron} {job.tz}".rstrip() if zone else job.cron
    if job.every:
        return f"every {duration(job.every)}"
    return f"after {', '.join(job.after)}" if job.after else "by hand"


def outcome(record: Record) -> str:
    """`ok`, `failed (3)`, `failed (SIGSEGV)`, `timeout`, ...; `-` before the first run."""
    word = record.run.outcome if record.run else ""
    last = record.instance.last_exit
    if word != "failed" or last is None:
        return word or NOTHING
    if last.signal:
        return f"failed ({signal_name(last.signal)})"
    return f"failed ({last.code})" if last.code else word


def _ended(record: Record, run: RunSummary, now: float) -> str:
    return NOTHING if run.finished is None else age((now or record.now) - run.finished)


def took(run: RunSummary) -> str:
    """How long the last finished run lasted."""
    return NOTHING if run.finished is None or run.started is None else duration(run.finished - run.started)


def next_due(record: Record, now: float, zone: tzinfo | None = None) -> str:
    """`in 18h, Thu 02:00`, `paused`, or `-` when nothing is planned."""
    run, now = record.run, now or record.now
    if run is None or (run.next_due is None and not run.paused):
        return NOTHING
    if run.paused or run.next_due is None:
        return "paused"
    return f"{ahead(run.next_due - now)}, {clock_time(run.next_due, now, zone)}"


def state_word(record: Record, now: float = 0.0) -> str:
    """What people are told: PM2's word for an app, `job_state` for a job."""
    return status_word(record.instance.actual) if record.spec.job is None else job_state(record, now)


def job_state(record: Record, now: float = 0.0) -> str:
    """What a job is doing: `running 42s`, `stopping`, `retrying`, `errored`, `paused`, `waiting`, `manual`, `stopped`.

    A job that waits for its time is not "stopped"; PM2's word for it stays in `jlist`.
    """
    instance, run = record.instance, record.run or RunSummary()
    match instance.actual:
        case Stopping():
            return "stopping"
        case Backoff():
            return "retrying"
        case Failed():
            return "errored"
        case Down():
            if run.running:
                return "running"
            if run.paused:
                return "paused"
            if run.next_due is not None:
                return "waiting"
            job = record.spec.job
            return "stopped" if job and (job.cron or job.every) else "manual"
        case _:
            return f"running {duration((now or record.now) - instance.started)}"
