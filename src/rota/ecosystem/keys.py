"""PM2's keys, declared once: name, aliases, how the value is read, and which setting of rota it becomes.

A setting is a name of `settings.PLACES` or `settings.UNRESOLVED`; the value of a read setting is in rota's own units.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.ecosystem import units, values

if TYPE_CHECKING:
    from rota.ecosystem.values import Reader


class Key(NamedTuple):
    """A key of a PM2 app: `setting` is "" when it is the key's own name, `extra` when the value is only carried for show."""

    name: str
    read: Reader
    setting: str = ""
    aliases: tuple[str, ...] = ()


_CARRIED = "extra"
# Node, SaaS and Windows only: nothing here acts on them, lists show them.
_FOR_SHOW = (
    "vizion source_map_support disable_source_map_support pmx automation trace disable_trace v8 event_loop_inspector "
    "deep_monitoring io post_update install_url force write windowsHide username"
)

PM2_KEYS: tuple[Key, ...] = (
    Key("script", values.filled, aliases=("exec", "cmd", "command")),
    Key("name", values.filled),
    Key("name_prefix", values.anything, _CARRIED),
    Key("namespace", values.filled),
    Key("cwd", values.filled),
    Key("args", values.arguments),
    Key("exec_interpreter", values.filled, "interpreter", ("interpreter",)),
    Key("node_args", values.arguments, "interpreter_args", ("interpreter_args",)),
    Key("exec_mode", values.mode),
    Key("execute_command", values.pm2_flag),
    Key("instances", values.instances),
    Key("increment_var", values.filled),
    Key("instance_var", values.filled),
    Key("port", values.port),
    Key("env", values.environment),
    Key("filter_env", values.filter_env),
    Key("append_env_to_name", values.pm2_flag),
    Key("out_file", values.log_path, aliases=("out", "output", "out_log")),
    Key("error_file", values.log_path, aliases=("error", "err", "err_file", "err_log")),
    Key("log_file", values.combined_log, aliases=("log",)),
    Key("pid_file", values.filled, aliases=("pid",)),
    Key("merge_logs", values.pm2_flag, aliases=("combine_logs",)),
    Key("disable_logs", values.pm2_flag),
    Key("log_type", values.log_json, "log_json"),
    Key("log_date_format", values.date_format),
    Key("time", values.pm2_flag),
    Key("autorestart", values.pm2_flag),
    Key("stop_exit_codes", values.codes),
    Key("autostart", values.pm2_flag),
    Key("max_restarts", values.at_least(values.pm2_integer, 0, "0")),
    Key("min_uptime", values.at_least(units.milliseconds, 0.1, "100 ms")),
    Key("restart_delay", units.milliseconds),
    Key("exp_backoff_restart_delay", units.milliseconds, "exp_backoff"),
    Key("max_memory_restart", units.size, "max_memory"),
    Key("cron_restart", values.cron, aliases=("cron",)),
    Key("watch", values.watch),
    Key("ignore_watch", values.spaced),
    Key("watch_delay", units.milliseconds),
    Key("watch_options", values.anything),
    Key("kill_timeout", units.milliseconds),
    Key("kill_retry_time", values.anything, _CARRIED),
    Key("treekill", values.pm2_flag),
    Key("shutdown_with_message", values.pm2_flag),
    Key("wait_ready", values.pm2_flag),
    Key("listen_timeout", units.milliseconds),
    Key("uid", values.user, aliases=("user",)),
    Key("gid", values.user),
    *(Key(name, values.anything, _CARRIED) for name in _FOR_SHOW.split()),
    # Beyond PM2, for files that keep its form.
    Key("env_file", values.env_files, "env_files"),
    Key("depends_on", values.strings),
    Key("stop_signal", values.signal, aliases=("kill_signal",)),
    Key("nice", values.nice),
    Key("umask", values.umask),
    Key("limits", values.limits),
    Key("listen", values.strings),
    Key("balance", values.one_of("auto", "slot", "shared", "rr")),
    Key("affinity", values.one_of("", "ip")),
    Key("soft_drain", units.milliseconds),
    Key("drain_timeout", units.milliseconds),
    Key("min_instances", values.at_least(values.integer, 0, "0")),
    Key("max_instances", values.at_least(values.most_instances, 0, "0")),
    Key("scale_cpu", values.at_least(values.integer, 1, "1")),
    Key("scale_queue", values.at_least(values.integer, 1, "1")),
    Key("scale_down_after", units.milliseconds),
    Key("ready", values.anything),
    Key("alive", values.anything),
    Key("tz", values.zone, "job_tz"),
    Key("timeout", units.milliseconds, "job_timeout"),
    Key("overlap", values.one_of("skip", "queue", "replace", "allow"), "job_overlap"),
    Key("retries", values.at_least(values.pm2_integer, 0, "0"), "job_retries"),
    Key("missed", values.one_of("one", "none", "auto"), "job_missed"),
)

BY_NAME: dict[str, Key] = {key.name: key for key in PM2_KEYS}


def camel(name: str) -> str:
    """`max_memory_restart` -> `maxMemoryRestart`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _spellings() -> dict[str, tuple[Key, int]]:
    """Every accepted spelling, with its rank: the canonical key wins over its camelCase form, that over aliases."""
    table: dict[str, tuple[Key, int]] = {}
    for key in PM2_KEYS:
        names = (key.name, camel(key.name), *(form for alias in key.aliases for form in (alias, camel(alias))))
        for rank, name in enumerate(names):
            table.setdefault(name, (key, rank))
    return table


SPELLINGS: dict[str, tuple[Key, int]] = _spellings()


def canonical(app: dict[str, Any]) -> tuple[dict[str, tuple[str, Any]], list[str]]:
    """The app's keys under their canonical names, each with the spelling that was used, and the keys nobody knows."""
    found: dict[str, tuple[int, str, Any]] = {}
    unknown = []
    for written, value in app.items():
        if written not in SPELLINGS:
            unknown.append(written)
            continue
        key, rank = SPELLINGS[written]
        if value is not None and (key.name not in found or rank < found[key.name][0]):
            found[key.name] = (rank, written, value)
    return {name: (written, value) for name, (_, written, value) in found.items()}, unknown
