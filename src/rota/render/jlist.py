"""`rota jlist`: PM2's JSON records, field by field, from ours.

Different on purpose: `env` holds what was declared for the app, never the shell's environment, and there are no flat copies
of it; without `show_env` only values that are harmless are shown. Death by a signal has no exit code (PM2 writes 0). What PM2
has no word for stands under one extra key, `rota`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rota.process.environ import declared
from rota.process.restart import signal_name
from rota.process.spec import PM2_MAX_RESTARTS
from rota.process.state import Backoff, Down, Failed, Ready, Stopping, process_of, status_word
from rota.render.human import millis

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.process.record import Metric, Record
    from rota.process.spec import AppSpec

TIME_FORMAT = "YYYY-MM-DDTHH:mm:ss"
"""What `time: true` of a PM2 file means."""
KILL_RETRY_TIME = 100
"""PM2's poll period while stopping, ms; shown because its records have it. We wait on the processes themselves."""

_HARMLESS = """
NODE_ENV APP_ENV RAILS_ENV RACK_ENV FLASK_ENV ENV ENVIRONMENT DJANGO_SETTINGS_MODULE PORT HOST HOSTNAME BIND DEBUG LOG_LEVEL
NODE_APP_INSTANCE PYTHONUNBUFFERED TZ LANG LANGUAGE LC_ALL LC_CTYPE
"""
HARMLESS = frozenset(_HARMLESS.split())
"""Environment keys whose values scripts read from jlist and that hold no secrets."""


def jlist(records: Iterable[Record], show_env: bool = False) -> bytes:
    """One line of JSON, no newline: an array in the order of ids."""
    return msgspec.json.encode(pm2_records(records, show_env))


def pm2_records(records: Iterable[Record], show_env: bool = False) -> list[dict[str, Any]]:
    """The records in the order of ids, as plain values (some still raw JSON)."""
    return [pm2_record(record, show_env) for record in sorted(records, key=lambda record: record.instance.id)]


def pm2_record(record: Record, show_env: bool = False) -> dict[str, Any]:
    """One record in PM2's shape and key order."""
    process = process_of(record.instance.actual)
    alive = process is not None or isinstance(record.instance.actual, Stopping)
    return {
        "pid": process.pid if process else 0,
        "name": record.spec.name,
        "pm2_env": _pm2_env(record, show_env),
        "pm_id": record.instance.id,
        "monit": {
            "memory": record.usage.memory if alive else 0,
            "cpu": _number(record.usage.cpu) if alive else 0,
        },
        "rota": _ours(record),
    }


def shown_env(spec: AppSpec, env: dict[str, str], show_env: bool) -> dict[str, str]:
    """Declared variables: all when asked for, else those whose values are harmless."""
    if show_env:
        return env
    harmless = HARMLESS | {spec.instance_var, spec.increment_var}
    return {key: value for key, value in env.items() if key in harmless}


def _pm2_env(record: Record, show_env: bool) -> dict[str, Any]:
    spec, instance = record.spec, record.instance
    fields: dict[str, Any] = {"name": spec.name, "filter_env": spec.filter_env, "namespace": spec.namespace}
    if spec.args:
        fields["args"] = spec.args
    env = declared(spec, instance)
    fields["env"] = shown_env(spec, env, show_env)
    if spec.instances_given:
        fields["instances"] = record.instances
    for name, variant in spec.env_variants.items():
        fields[f"env_{name}"] = shown_env(spec, variant, show_env)
    if spec.logs.merge or (record.exec_mode == "fork" and not spec.instances_given):
        fields["merge_logs"] = True
    fields.update(_switches(record))
    fields.update(_settings(spec))
    fields.update(spec.extra)
    fields.update(_places(record))
    fields["km_link"] = fields["vizion_running"] = False
    fields[spec.instance_var] = instance.number
    if spec.increment_var:
        fields[spec.increment_var] = _whole(env[spec.increment_var])
    fields.update(_state(record))
    return fields


def _switches(record: Record) -> dict[str, Any]:
    """What every PM2 record has. vizion, pmx, automation and windowsHide do nothing here; a file's own values replace them."""
    spec = record.spec
    return {
        "vizion": True,
        "autostart": spec.autostart,
        "autorestart": spec.restart.autorestart and spec.job is None,
        "watch": _watch(record),
        "instance_var": spec.instance_var,
        "pmx": True,
        "automation": True,
        "treekill": spec.stop.tree,
        "username": record.username,
        "windowsHide": True,
        "kill_retry_time": KILL_RETRY_TIME,
        "node_args": spec.interpreter_args,
    }


def _settings(spec: AppSpec) -> dict[str, Any]:
    """Limits and policies in PM2's units: milliseconds and bytes. Defaults that always act are shown, the rest if set."""
    restart, stop, logs, watch = spec.restart, spec.stop, spec.logs, spec.watch
    fields: dict[str, Any] = {
        "min_uptime": millis(restart.min_uptime),
        "max_restarts": PM2_MAX_RESTARTS if restart.max_restarts is None else restart.max_restarts,
        "kill_timeout": millis(stop.kill_timeout),
    }
    optional: dict[str, Any] = {
        "restart_delay": millis(restart.restart_delay),
        "exp_backoff_restart_delay": millis(restart.exp_backoff),
        "stop_exit_codes": restart.stop_exit_codes,
        "max_memory_restart": spec.max_memory,
        "cron_restart": spec.job.cron if spec.job else spec.cron_restart,
        "shutdown_with_message": stop.with_message,
        "wait_ready": spec.wait_ready,
        "listen_timeout": millis(spec.listen_timeout) if spec.wait_ready or spec.exec_mode == "cluster" else 0,
        "ignore_watch": watch.ignore if watch else None,
        "watch_delay": millis(watch.delay) if watch else 0,
        "log_date_format": logs.date_format,
        "time": logs.date_format == TIME_FORMAT,
        "log_type": "json" if logs.json else "",
        "disable_logs": logs.disabled,
        "increment_var": spec.increment_var,
        "port": spec.port,
        "uid": _whole(spec.uid),
        "gid": _whole(spec.gid),
    }
    return fields | {key: value for key, value in optional.items() if value}


def _places(record: Record) -> dict[str, Any]:
    spec = record.spec
    places: dict[str, Any] = {
        "pm_exec_path": spec.exec_path,
        "pm_cwd": spec.cwd,
        "exec_interpreter": spec.interpreter,
        "exec_mode": f"{record.exec_mode}_mode",
        "instances": record.instances,
        "pm_out_log_path": record.out_path,
        "pm_err_log_path": record.error_path,
    }
    if record.log_path:
        places["pm_log_path"] = record.log_path
    places["pm_pid_path"] = record.pid_path
    return places


def _state(record: Record) -> dict[str, Any]:
    instance = record.instance
    fields: dict[str, Any] = {
        "unique_id": instance.unique_id,
        "status": status_word(instance.actual),
        "pm_uptime": millis(instance.started) if instance.started else None,
        "axm_actions": record.actions,
        "axm_monitor": {name: _metric(metric) for name, metric in record.metrics.items()},
        "axm_options": record.options,
        "axm_dynamic": {},
        "created_at": millis(instance.created),
        "pm_id": instance.id,
        "restart_time": instance.restarts,
        "unstable_restarts": instance.unstable,
        "version": record.spec.version,
    }
    if instance.delay:
        fields["prev_restart_delay"] = millis(instance.delay)
    if instance.last_exit:
        fields["exit_code"] = instance.last_exit.code
    if record.node_version:
        fields["node_version"] = record.node_version
    return fields


def _ours(record: Record) -> dict[str, Any]:
    """What PM2's record has no place for."""
    instance, actual, last = record.instance, record.instance.actual, record.instance.last_exit
    ours: dict[str, Any] = {
        "desired": instance.desired,
        "generation": instance.gen,
        "processes": record.usage.processes,
        "started_because": instance.restart_reason,
        "reason": actual.reason if isinstance(actual, Down | Backoff | Failed | Stopping) else "",
    }
    if isinstance(actual, Ready):
        ours["ready_by"] = actual.how
    if isinstance(actual, Backoff):
        ours["restart_at"] = millis(actual.until)
    if last:
        ours["last_exit"] = {
            "at": millis(last.at),
            "code": last.code,
            "signal": signal_name(last.signal) if last.signal else None,
            "known": last.known,
        }
    if record.spec.job:
        ours["job"] = _job(record)
    return ours


def _job(record: Record) -> dict[str, Any]:
    job, run = record.spec.job, record.run
    assert job is not None
    return {
        "cron": job.cron or None,
        "every": millis(job.every) or None,
        "tz": job.tz or None,
        "outcome": run.outcome or None if run else None,
        "started_at": _ms(run.started) if run else None,
        "finished_at": _ms(run.finished) if run else None,
        "runs": run.runs if run else 0,
        "running": run.running if run else 0,
        "next_due": _ms(run.next_due) if run else None,
        "paused": run.paused if run else job.paused,
    }


def _watch(record: Record) -> bool | list[str]:
    """PM2's value: off, on, or the paths as they stand in the app's directory."""
    watch, inside = record.spec.watch, record.spec.cwd.rstrip("/") + "/"
    if not record.watching:
        return False
    return [path.removeprefix(inside) for path in watch.paths] if watch and watch.paths else True


def _metric(metric: Metric) -> dict[str, Any]:
    shown: dict[str, Any] = {"value": metric.value}
    if metric.type:
        shown["type"] = metric.type
    if metric.unit:
        shown["unit"] = metric.unit
    shown["historic"] = metric.historic
    return shown


def _ms(at: float | None) -> int | None:
    return None if at is None else millis(at)


def _number(value: float) -> int | float:
    """JavaScript writes a whole number without a fraction."""
    return int(value) if value == int(value) else round(value, 1)


def _whole(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
