"""The rows of describe's table: (label, value) pairs from a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.process.environ import declared
from rota.process.restart import limit
from rota.process.spec import KEEP_ALL
from rota.process.state import process_of
from rota.render.human import bytes_word, clock_time, duration, iso_ms, plural
from rota.render.job_list import next_due, outcome, schedule, state_word, took
from rota.render.list import uptime_text
from rota.render.reason import last_exit_text, probe_text
from rota.render.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from rota.jobs.spec import JobSpec
    from rota.process.record import Record
    from rota.process.spec import AppSpec, LogSpec

Row = tuple[str, str]

DEFAULT_MAX_SIZE = 10 << 20
DEFAULT_KEEP = 30

_MISSED = {
    "one": "runs once for the last missed time",
    "none": "runs nothing for missed times",
    "auto": "runs once for a missed fixed time, nothing for intervals",
}


def pm2_rows(record: Record, now: float = 0.0) -> list[Row]:
    """PM2's rows in its order; what is missing is `N/A`, what is optional and not set has no row."""
    spec, instance = record.spec, record.instance
    env = spec.shell_env | declared(spec, instance)
    cron = spec.job.cron if spec.job else spec.cron_restart
    rows: list[Row | None] = [
        ("status", state_word(record, now)),
        ("name", spec.name),
        ("namespace", spec.namespace),
        ("version", spec.version),
        ("restarts", str(instance.restarts)),
        ("max memory restart", f"{spec.max_memory} ({bytes_word(spec.max_memory)})") if spec.max_memory else None,
        ("cron restart", cron) if cron else None,
        ("uptime", uptime_text(record, now)),
        ("entire log path", record.log_path) if record.log_path else None,
        ("script path", spec.exec_path),
        ("script args", " ".join(spec.args)),
        ("error log path", record.error_path),
        ("out log path", record.out_path),
        ("pid path", record.pid_path),
        ("interpreter", spec.interpreter),
        ("interpreter args", " ".join(spec.interpreter_args)),
        ("script id", str(instance.id)),
        ("exec cwd", spec.cwd),
        ("exec mode", f"{record.exec_mode}_mode"),
        ("node.js version", record.node_version),
        ("node env", env.get("NODE_ENV", "")),
        ("watch & reload", "✔" if record.watching else "✘"),
        ("unstable restarts", str(instance.unstable)),
        ("created at", iso_ms(instance.created)),
    ]
    return [(label, printable(value) or "N/A") for label, value in filter(None, rows)]


def our_rows(record: Record, logs: LogSpec, now: float = 0.0, zone: tzinfo | None = None) -> list[Row]:
    """What rota knows beyond PM2; rows without a value are left out."""
    spec, instance = record.spec, record.instance
    process = process_of(instance.actual)
    rows: list[Row] = [
        ("pid", str(process.pid) if process else ""),
        ("processes", _processes(record)),
        ("last exit", last_exit_text(record, now)),
        ("interpreter chosen", spec.interpreter_reason),
        ("command", " ".join(spec.argv)),
        ("described in", spec.source),
        ("chosen environment", spec.env_name),
        ("port", str(spec.port or "")),
        ("ready when", probe_text(spec.ready) or ("it sends its ready message" if spec.wait_ready else "")),
        ("alive while", probe_text(spec.alive)),
        ("depends on", ", ".join(spec.depends_on)),
        ("own calls", _calls_text(spec)),
        ("stopped by", stop_text(spec)),
        ("restarted", restart_text(spec)),
        ("log rotation", rotation_text(logs)),
    ]
    if spec.job:
        rows += _job_rows(record, spec.job, now, zone)
    return [(label, printable(value)) for label, value in rows if value]


def _calls_text(spec: AppSpec) -> str:
    """`tweet_lookup 1 every 1m`: what a service takes from shared budgets by itself."""
    taken = ", ".join(f"{name} {tokens:g}" for name, tokens in spec.calls.items())
    return f"{taken} every {duration(spec.calls_every)}" if taken else ""


def _processes(record: Record) -> str:
    return f"{record.usage.processes}, {bytes_word(record.usage.memory)} together" if record.usage.processes > 1 else ""


def stop_text(spec: AppSpec) -> str:
    """`SIGINT to the whole tree, SIGKILL after 1.6s`."""
    stop = spec.stop
    if stop.with_message:
        return f"the message shutdown to the main process, SIGKILL after {duration(stop.kill_timeout)}"
    return f"{stop.signal} to the {'whole tree' if stop.tree else 'main process'}, SIGKILL after {duration(stop.kill_timeout)}"


def restart_text(spec: AppSpec) -> str:
    """`after every exit but 0, at once, up to 16 exits in a row within 1s of the start`."""
    policy = spec.restart
    if spec.job:
        return "never: it is a job"
    if not policy.autorestart:
        return "never"
    codes = f" but {', '.join(map(str, policy.stop_exit_codes))}" if policy.stop_exit_codes else ""
    if policy.exp_backoff:
        delay = f"{duration(policy.exp_backoff)} later at first, then longer"
    else:
        delay = f"{duration(policy.restart_delay)} later" if policy.restart_delay else "at once"
    most = limit(policy)
    if most == 0:
        return "never: max_restarts is 0"
    if most is None:
        return f"after every exit{codes}, {delay}; never given up (max_restarts sets a limit)"
    return (
        f"after every exit{codes}, {delay}; given up after {plural(most, 'exit')} in a row "
        f"within {duration(policy.min_uptime)} of the start"
    )


def rotation_text(logs: LogSpec) -> str:
    """`over 10.0mb, keeps 30, gzip`, with the midnight or cron expression and the total when they are set."""
    if logs.disabled:
        return "no logs are written"
    when = f"over {bytes_word(DEFAULT_MAX_SIZE if logs.max_size is None else logs.max_size)}"
    if logs.max_size == 0:
        when = ""
    parts: Iterable[str] = (
        when,
        f"at {logs.rotate_cron}" if logs.rotate_cron else "",
        f"keeps {DEFAULT_KEEP if logs.keep is None else 'all' if logs.keep == KEEP_ALL else logs.keep}",
        "gzip" if logs.compress is not False else "not compressed",
        f"at most {bytes_word(logs.max_total)} in all" if logs.max_total else "",
    )
    return ", ".join(part for part in parts if part)


def _job_rows(record: Record, job: JobSpec, now: float, zone: tzinfo | None) -> Sequence[Row]:
    run = record.run
    ended = ""
    if run and run.finished is not None:
        ended = f", ended {clock_time(run.finished, now or record.now, zone)}, took {took(run)}"
    return [
        ("schedule", schedule(job)),
        ("last run", outcome(record) + ended),
        ("next due", next_due(record, now, zone)),
        ("runs", str(run.runs) if run else "0"),
        ("run limit", duration(job.timeout) if job.timeout else "none"),
        ("when still running", job.overlap),
        ("retries", f"{job.retries}, first after {duration(job.retry_backoff)}" if job.retries else "none"),
        ("after downtime", _MISSED[job.missed]),
        ("verified by", " ".join(job.verify)),
        ("budget", ", ".join(f"{name} {tokens:g}" for name, tokens in job.budget.items())),
    ]
