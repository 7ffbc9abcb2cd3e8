"""Which variables a process gets: what the caller's shell has, filtered, under what was declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.process.environ import NOT_INHERITED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEPT_BY_FILTER_ALL = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"})
"""What `filter_env: true` leaves (and `LC_*`): what a service manager gives, without which few programs run at all."""

# A record's own fields, which PM2 (and rota, for programs written for PM2) puts beside the environment of a process.
_RECORD_FIELDS = (
    "name namespace pm_id status pm_uptime created_at restart_time unstable_restarts pm_exec_path pm_cwd pm_out_log_path "
    "pm_err_log_path pm_log_path pm_pid_path exec_interpreter exec_mode instances username autorestart autostart treekill "
    "vizion vizion_running pmx automation windowsHide kill_retry_time km_link instance_var merge_logs watch "
    "max_memory_restart kill_timeout min_uptime max_restarts restart_delay cron_restart log_date_format time wait_ready "
    "listen_timeout increment_var port uid gid exit_code unique_id prev_restart_delay log_type disable_logs "
    "exp_backoff_restart_delay node_version version PM2_USAGE PM2_JSON_PROCESSING NODE_APP_INSTANCE"
)


def filtered(environ: Mapping[str, str], filters: Iterable[str]) -> dict[str, str]:
    """The environment without what `filter_env` takes away.

    Args:
        environ: a caller's environment.
        filters: texts; a variable whose name contains one is dropped. `=NAME` drops exactly NAME (no name holds a `=`),
            `*` drops everything but KEPT_BY_FILTER_ALL.
    """
    result = dict(environ)
    for rule in filters:
        if rule == "*":
            result = {key: value for key, value in result.items() if key in KEPT_BY_FILTER_ALL or key.startswith("LC_")}
        elif rule.startswith("="):
            result.pop(rule[1:], None)
        elif rule:
            result = {key: value for key, value in result.items() if rule not in key}
    return result


def callers(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what belongs to the caller's own process, when it runs under a manager itself."""
    dropped = NOT_INHERITED.union(_RECORD_FIELDS.split()) if "pm_id" in environ else NOT_INHERITED
    return {key: value for key, value in environ.items() if key not in dropped}


def declared(*layers: Mapping[str, str]) -> dict[str, str]:
    """Layers of declared variables, later ones win: env_file, env, port, deploy.<x>.env, env_<x>."""
    result: dict[str, str] = {}
    for layer in layers:
        result.update(layer)
    return result
