"""PM2's saved process list (`dump.pm2`) as apps of rota: one entry per name, its instances counted again."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import msgspec

from rota.ecosystem.keys import BY_NAME
from rota.ecosystem.load import Loaded
from rota.ecosystem.problems import Findings, Wrong
from rota.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.process.spec import AppSpec

Settings = dict[str, Any]

# What a record holds beside the app's own keys, and what PM2 adds to every environment.
_PATHS = {"pm_out_log_path": "out_file", "pm_err_log_path": "error_file", "pm_log_path": "log_file"}
_NOT_ENVIRONMENT = re.compile(r"PM2_.*|unique_id|pm_id|NODE_APP_INSTANCE|NODE_CHANNEL_.*|_")
_FROM_RECORD = (
    "name namespace args node_args exec_interpreter exec_mode instance_var increment_var filter_env merge_logs disable_logs "
    "log_type log_date_format time autorestart stop_exit_codes max_restarts min_uptime restart_delay "
    "exp_backoff_restart_delay max_memory_restart cron_restart watch ignore_watch watch_delay kill_timeout treekill "
    "shutdown_with_message wait_ready listen_timeout uid gid vizion pmx"
)


def import_pm2_dump(path: str, *, cwd: str, environ: Mapping[str, str]) -> Loaded:
    """The apps of a dump. Those that were stopped are named in `stopped`.

    PM2 stores the caller's whole environment with each app; what equals `environ` is taken for the shell's, the rest for the
    app's own.

    Raises:
        SpecError: the file is missing, is no dump, or no app of it can be run here. Some that cannot are in `problems`.
    """
    from rota.ecosystem.resolve.apps import Place, resolve_app

    absolute = os.path.normpath(os.path.join(cwd, os.path.expanduser(path)))
    records = _records(absolute, path)
    findings = Findings()
    specs: list[AppSpec] = []
    stopped = set()
    for index, group in enumerate(_grouped(records, findings)):
        key = f"[{index}] {group[0].get('name', '')}".rstrip()
        settings = _settings(group, environ, key, findings) | _logs(group[0], os.path.dirname(absolute))
        home = str(group[0].get("pm_cwd") or cwd)
        spec = resolve_app(settings, key, Place(home, environ), findings)
        if spec is not None:
            specs.append(msgspec.structs.replace(spec, source=absolute))
            if all(record.get("status") == "stopped" for record in group):
                stopped.add(spec.name)
    if not specs:
        findings.check(path)
    problems = tuple(findings.problems)
    return Loaded(tuple(specs), tuple(findings.warnings), path=absolute, stopped=frozenset(stopped), problems=problems)


def _records(absolute: str, shown: str) -> list[dict[str, Any]]:
    try:
        with open(absolute, "rb") as file:
            records = msgspec.json.decode(file.read())
    except FileNotFoundError:
        raise SpecError(
            f"Failed to read dump file in {shown}", "pm2 save writes it; name another file with --file"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"Failed to parse dump file in {shown}: {error}") from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SpecError(f"{shown} is not a dump of PM2: it holds no list of records")
    return records


def _grouped(records: list[dict[str, Any]], findings: Findings) -> list[list[dict[str, Any]]]:
    """Records of one app together: PM2 saves one per instance."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in records:
        if record.get("pmx_module"):
            findings.warn(f"{record.get('name')}: a module of PM2, left out")
            continue
        identity = (record.get("name"), record.get("pm_exec_path"), str(record.get("args")), record.get("pm_cwd"))
        groups.setdefault(identity, []).append(record)
    return list(groups.values())


def _settings(group: list[dict[str, Any]], environ: Mapping[str, str], key: str, findings: Findings) -> Settings:
    record = group[0]
    settings: Settings = {"script": record.get("pm_exec_path", ""), "cwd": record.get("pm_cwd", "")}
    for name in _FROM_RECORD.split():
        if record.get(name) in (None, "", []):
            continue
        entry = BY_NAME[name]
        try:
            value = entry.read(record[name])
        except Wrong as error:
            findings.warn(f"{key}: {name} {error.message}; left out")
            continue
        if entry.setting != "extra":
            settings[entry.setting or name] = value
    if settings.pop("time", False):
        settings.setdefault("log_date_format", "YYYY-MM-DDTHH:mm:ss")
    if len(group) > 1 or settings.get("exec_mode") == "cluster":
        settings["instances"] = len(group)
    settings["env"] = _own_environment(record, environ)
    settings["env_variants"] = {
        name[4:]: {k: v for k, v in block.items() if isinstance(v, str)}
        for name, block in record.items()
        if name.startswith("env_") and isinstance(block, dict)
    }
    return settings


def _logs(record: dict[str, Any], home: str) -> Settings:
    """Log files that somebody chose. PM2's default places become rota's; the number of the instance is put on again."""
    chosen = {}
    for field, name in _PATHS.items():
        path = record.get(field)
        if not isinstance(path, str) or not path:
            continue
        folder, base = os.path.split(path)
        parent = os.path.dirname(folder)
        if os.path.basename(folder) == "logs" and (parent == home or os.path.basename(parent) in (".pm2", "pm2")):
            if name == "log_file":
                chosen[name] = ""
            continue
        numbered = record.get("merge_logs") is not True
        chosen[name] = os.path.join(folder, re.sub(r"-\d+\.log$", ".log", base) if numbered else base)
    return chosen


def _own_environment(record: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """What the app was given beyond the shell's variables. PM2 keeps objects named like the app in there, too."""
    env = record.get("env")
    own = {}
    for name, value in (env if isinstance(env, dict) else {}).items():
        if isinstance(value, dict | list) or value is None or _NOT_ENVIRONMENT.fullmatch(name):
            continue
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if environ.get(name) != text and "=" not in name and "\0" not in text:
            own[name] = text
    return own
