"""The keys of rota.toml, declared once: reader, setting, JSON Schema and the sentence that editors show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.ecosystem import units, values
from rota.ecosystem.problems import Wrong

if TYPE_CHECKING:
    from rota.ecosystem.values import Reader

Schema = dict[str, Any]


class NativeKey(NamedTuple):
    """A key of a table. `setting` is "" when it is the key's own name; `nested` keys make the value a table of their own."""

    name: str
    read: Reader
    schema: Schema
    doc: str
    setting: str = ""
    nested: tuple[NativeKey, ...] = ()

    @property
    def target(self) -> str:
        return self.setting or self.name


_N = r"\d*\.?\d+\s*"
# Units from large to small, each once.
_TIME_PATTERN = (
    rf"^\s*(?=\S)(0|({_N}[wW]\s*)?({_N}[dD]\s*)?({_N}[hH]\s*)?({_N}[mM](?![sS])\s*)?({_N}[sS]\s*)?({_N}[mM][sS])?)\s*$"
)
_SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]?([Ii]?[Bb])?)\s*$"

_TEXT: Schema = {"type": "string", "minLength": 1}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {
    "anyOf": [{"type": "string", "pattern": _TIME_PATTERN}, {"const": 0}],
    "examples": ["500ms", "30s", "10m", "2h"],
}
_SIZE: Schema = {
    "anyOf": [{"type": "string", "pattern": _SIZE_PATTERN}, {"type": "integer", "minimum": 0}],
    "examples": ["300M", "1.5G"],
}
_TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_NAMES: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_LINE: Schema = {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_USER: Schema = {"anyOf": [_TEXT, {"type": "integer", "minimum": 0}]}
_CRON: Schema = {"type": "string", "minLength": 1, "examples": ["*/30 * * * *", "0 2 * * *"]}
_PATH_OR_FLAG: Schema = {"anyOf": [_TEXT, _FLAG]}
_SIGNAL: Schema = {
    "type": "string",
    "pattern": "^([Ss][Ii][Gg])?[A-Za-z0-9+-]+$",
    "examples": ["SIGTERM", "SIGINT", "SIGQUIT"],
}


def _choice(*words: str) -> Schema:
    return {"enum": list(words)}


def line(value: Any) -> str | tuple[str, ...]:
    """A command as one line or as its words."""
    if isinstance(value, str):
        return values.filled(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise Wrong(
        f"must be a command line or a list of words, not {units.shown(value)}", 'write "python app.py --port 8000"'
    )


def _pattern(value: Any) -> str:
    try:
        re.compile(values.filled(value))
    except re.error as error:
        raise Wrong(f"is not a regular expression: {error}") from None
    return str(value)


def _url(value: Any) -> str:
    if re.fullmatch(r"https?://[^\s/]+(/\S*)?", values.filled(value)):
        return str(value)
    raise Wrong(f"must be a URL, not {units.shown(value)}", 'write "http://127.0.0.1:8000/healthz"')


def _address(value: Any) -> str:
    """`host:port`, a port of this host, or the path of a unix socket."""
    if units.is_number(value):
        return f"127.0.0.1:{values.port(value)}"
    text = values.filled(value).removeprefix("tcp://")
    if text.startswith("/"):
        return text
    host, colon, number = text.rpartition(":")
    if not colon or not number.isdigit():
        raise Wrong(
            f"must be an address, not {units.shown(value)}", 'write "127.0.0.1:8000", a port, or the path of a socket'
        )
    values.port(number)
    return f"{host or '127.0.0.1'}:{number}"


def _shares(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise Wrong(f"must be a table of budgets, not {units.shown(value)}", "write { tweet_lookup = 15 }")
    for name, tokens in value.items():
        if not units.is_number(tokens) or not 0 < tokens < float("inf"):
            raise Wrong(f"takes a number of tokens above 0 of {name}, not {units.shown(tokens)}")
    return {name: float(tokens) for name, tokens in value.items()}


def positive(reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        result = reader(value)
        if result <= 0:
            raise Wrong("must be more than 0")
        return result

    return read


PROBE_KEYS = (
    NativeKey("http", _url, {"type": "string", "pattern": "^https?://"}, "A URL; an answer of 2xx or 3xx is good."),
    NativeKey("tcp", _address, {"anyOf": [_TEXT, {"type": "integer"}]}, "host:port, a port, or a unix socket that accepts."),
    NativeKey("exec", line, _LINE, "A command that exits with 0. It runs in the app's directory and environment."),
    NativeKey("log", _pattern, _TEXT, "A regular expression found in a line of output."),
    NativeKey("initial_delay", units.duration, _TIME, "Wait before the first attempt."),
    NativeKey("interval", positive(units.duration), _TIME, "Time between attempts. Default 1s."),
    NativeKey("timeout", positive(units.duration), _TIME, "How long one attempt may take. Default 5s."),
    NativeKey("deadline", positive(units.duration), _TIME, "Readiness: how long the app may take in all. Default 30s."),
    NativeKey("failures", positive(values.integer), {"type": "integer", "minimum": 1}, "Liveness: failures in a row that "
              "count as dead. Default 3."),
    NativeKey("successes", positive(values.integer), {"type": "integer", "minimum": 1}, "Good answers in a row needed."),
)  # fmt: skip

LOG_KEYS = (
    NativeKey("out", values.log_path, _TEXT, "File for stdout.", "out_file"),
    NativeKey("error", values.log_path, _TEXT, "File for stderr.", "error_file"),
    NativeKey("combined", values.combined_log, _PATH_OR_FLAG, "File for both; true = the default place.", "log_file"),
    NativeKey("merge", values.flag, _FLAG, "One file for all instances.", "merge_logs"),
    NativeKey("disabled", values.flag, _FLAG, "Keep no logs.", "disable_logs"),
    NativeKey("json", values.flag, _FLAG, "One JSON object per line.", "log_json"),
    NativeKey("date_format", values.date_format, {"type": ["string", "boolean"]}, "Date before each line (day.js tokens); "
              "true = YYYY-MM-DDTHH:mm:ss.", "log_date_format"),
    NativeKey("max_size", positive(units.size), _SIZE, "Rotate above this size.", "log_max_size"),
    NativeKey("keep", values.at_least(values.integer, 0, "0"), _COUNT, "Rotated files to keep.", "log_keep"),
    NativeKey("compress", values.flag, _FLAG, "Compress rotated files.", "log_compress"),
    NativeKey("rotate_cron", values.cron, _CRON, "Rotate at these times.", "log_rotate_cron"),
    NativeKey("max_total", positive(units.size), _SIZE, "All of an app's log files together.", "log_max_total"),
)  # fmt: skip

WATCH_KEYS = (
    NativeKey("paths", values.strings, _NAMES, "What to watch. Default: the app's directory.", "watch"),
    NativeKey("ignore", values.strings, _NAMES, "Globs to leave out, in place of rota's defaults.", "ignore_watch"),
    NativeKey("extensions", values.strings, _NAMES, "Watch only these, as \"py\".", "watch_ext"),
    NativeKey("delay", units.duration, _TIME, "Wait before the restart.", "watch_delay"),
)  # fmt: skip

RETRY_KEYS = (
    NativeKey("max", values.at_least(values.integer, 0, "0"), _COUNT, "How often to try again.", "retries"),
    NativeKey("backoff", units.duration, _TIME, "Wait before the first retry; doubles, up to an hour.", "retry_backoff"),
)  # fmt: skip

COMMON_KEYS = (
    NativeKey("run", line, _LINE, "The command to run: a line, split as a shell would, or its words. No shell is involved."),
    NativeKey("shell", values.flag, _FLAG, "Give `run` to a shell, for pipes, && and $NAMES."),
    NativeKey("script", values.filled, _TEXT, "A file to run, as in PM2: the interpreter follows from it."),
    NativeKey("module", values.filled, _TEXT, "A Python module to run, as with python -m."),
    NativeKey("args", values.arguments, _TEXTS, "Arguments."),
    NativeKey("interpreter", values.filled, _TEXT, 'Program that runs the script; "none" = the script itself.'),
    NativeKey("interpreter_args", values.arguments, _TEXTS, "Arguments of the interpreter."),
    NativeKey("cwd", values.filled, _TEXT, "Working directory, relative to this file. Default: this file's directory."),
    NativeKey("namespace", values.filled, _TEXT, "Group label, usable as a target."),
    NativeKey("env", values.anything, {"$ref": "#/$defs/env"}, "Environment variables. A table inside, as "
              "[apps.NAME.env.production], applies with --env production."),
    NativeKey("env_file", values.env_files, {"anyOf": [_NAMES, _FLAG]}, "Files of NAME=value lines, relative to this file; "
              "true = .env. With a leading dash a file may be missing.", "env_files"),
    NativeKey("filter_env", values.filter_env, {"anyOf": [_TEXTS, _FLAG]}, "Shell variables to leave out: a list = all whose "
              "name contains one of these, a text = that one, true = all but PATH, HOME and their like."),
    NativeKey("port", values.port, {"type": "integer", "minimum": 0, "maximum": 65535}, "Sets PORT."),
    NativeKey("uid", values.user, _USER, "User to run as; needs root."),
    NativeKey("gid", values.user, _USER, "Group to run as; needs root."),
    NativeKey("umask", values.umask, {"anyOf": [{"type": "string", "pattern": "^(0o)?[0-7]{1,4}$"}, _COUNT]},
              'Mode bits taken from new files, as "027".'),
    NativeKey("nice", values.nice, {"type": "integer", "minimum": -20, "maximum": 19}, "Scheduling priority."),
    NativeKey("limits", values.limits, {"$ref": "#/$defs/limits"}, "Resource limits by name, as { NOFILE = 65536 }."),
    NativeKey("depends_on", values.strings, _NAMES, "Apps that must be ready, and jobs that must have succeeded, first."),
    NativeKey("max_memory", units.size, _SIZE, "Restart (a job: end the run) when the whole process tree uses more."),
    NativeKey("stop_signal", values.signal, _SIGNAL, "Signal that asks it to end. Default SIGINT."),
    NativeKey("kill_timeout", units.duration, _TIME, "Grace between that signal and SIGKILL; not a run limit. Default 1600ms."),
    NativeKey("treekill", values.flag, _FLAG, "Signal every descendant, not only the main process. Default true."),
    NativeKey("shutdown_with_message", values.flag, _FLAG, "Ask by IPC message instead of a signal."),
    NativeKey("logs", values.anything, {"$ref": "#/$defs/logs"}, "Log files and their rotation.", nested=LOG_KEYS),
    NativeKey("pid_file", values.filled, _TEXT, "Where to write the process id."),
)  # fmt: skip

_PROBE: Schema = {"$ref": "#/$defs/probe"}
_SHARES: Schema = {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}}

APP_KEYS = (
    *COMMON_KEYS,
    NativeKey("instances", values.instances, {"anyOf": [{"type": "integer"}, {"const": "max"}]}, 'Copies to run; "max" or 0 = '
              "one per CPU, negative = CPUs minus that many."),
    NativeKey("exec_mode", values.mode, _choice("fork", "cluster"), "cluster = instances share listening sockets."),
    NativeKey("instance_var", values.filled, _TEXT, "Variable that carries the instance number."),
    NativeKey("increment_var", values.filled, _TEXT, "Variable whose number grows by one per instance."),
    NativeKey("autostart", values.flag, _FLAG, "false = register without starting."),
    NativeKey("autorestart", values.flag, _FLAG, "false = leave it ended when it ends."),
    NativeKey("stop_exit_codes", values.codes, {"anyOf": [_COUNT, {"type": "array", "items": _COUNT}]}, "Exit codes after "
              "which it is not restarted."),
    NativeKey("min_uptime", units.duration, _TIME, "A shorter run counts as unstable. Default 1s."),
    NativeKey("max_restarts", values.at_least(values.integer, 0, "0"), _COUNT, "Unstable runs in a row before giving up."),
    NativeKey("restart_delay", units.duration, _TIME, "Fixed wait before a restart."),
    NativeKey("exp_backoff", units.duration, _TIME, "First wait of one that grows by half each time, up to 15s."),
    NativeKey("backoff_reset", units.duration, _TIME, "A run of this length starts that wait afresh. Default 30s."),
    NativeKey("cron_restart", values.cron, _CRON, "Restart at these times."),
    NativeKey("tz", values.zone, _TEXT, "Time zone of cron_restart, as Europe/Paris.", "cron_tz"),
    NativeKey("wait_ready", values.flag, _FLAG, "It says itself when it is ready (sd_notify, or Node's IPC)."),
    NativeKey("listen_timeout", units.duration, _TIME, "How long to wait for that. Default 3s."),
    NativeKey("ready", values.anything, _PROBE, "When may it take traffic?", nested=PROBE_KEYS),
    NativeKey("alive", values.anything, _PROBE, "Is it still working? Restarted when not.", nested=PROBE_KEYS),
    NativeKey("watch", values.anything, {"anyOf": [_FLAG, _TEXTS, {"$ref": "#/$defs/watch"}]}, "Restart when files change.",
              nested=WATCH_KEYS),
    NativeKey("listen", values.strings, _NAMES, "Sockets that rota opens and hands over, as tcp://127.0.0.1:80."),
    NativeKey("balance", values.one_of("auto", "slot", "shared", "rr"), _choice("auto", "slot", "shared", "rr"),
              "How connections are spread over a cluster."),
    NativeKey("affinity", values.one_of("", "ip"), _choice("", "ip"), "ip: one client, one instance."),
    NativeKey("soft_drain", units.duration, _TIME, "Reload: how long connections may end by themselves. Default 1s."),
    NativeKey("drain_timeout", units.duration, _TIME, "Reload: how long connections may keep the old copy. Default 8s."),
    NativeKey("min_instances", values.at_least(values.integer, 0, "0"), _COUNT, "With max_instances: the fewest copies."),
    NativeKey("max_instances", values.at_least(values.most_instances, 0, "0"), _COUNT, "Copies follow the load, up to this."),
    NativeKey("scale_cpu", values.at_least(values.integer, 1, "1"), _COUNT, "Percent of a core per copy that asks for more."),
    NativeKey("scale_queue", values.at_least(values.integer, 1, "1"), _COUNT, "Waiting connections that call for more (16)."),
    NativeKey("scale_down_after", units.duration, _TIME, "Quiet time before there are fewer. Default 60s."),
    NativeKey("budget", _shares, _SHARES, "Tokens of shared budgets that each round of its own calls takes: `rota check`, "
              "`plan` and `sim` reckon with them.", "calls"),
    NativeKey("every", positive(units.duration), _TIME, "How often an instance makes those calls by itself.", "calls_every"),
)  # fmt: skip

JOB_KEYS = (
    *COMMON_KEYS,
    NativeKey("cron", values.cron, _CRON, "When it is due: a cron expression."),
    NativeKey("every", positive(units.duration), _TIME, "When it is due: each time this long has passed."),
    NativeKey("tz", values.zone, _TEXT, "Time zone of cron, as Europe/Paris. Default: the host's."),
    NativeKey("dst", values.one_of("debian", "real"), _choice("debian", "real"), "Clock changes: as Debian's cron, or real "
              "times only."),
    NativeKey("timeout", units.duration, _TIME, "A run that lasts longer is ended, and has failed."),
    NativeKey("overlap", values.one_of("skip", "queue", "replace", "allow"), _choice("skip", "queue", "replace", "allow"),
              "What to do when the last run still goes on. Default skip."),
    NativeKey("retry", values.anything, {"$ref": "#/$defs/retry"}, "Try a failed run again.", nested=RETRY_KEYS),
    NativeKey("missed", values.one_of("one", "none", "auto"), _choice("one", "none", "auto"), "After downtime: run the last "
              "missed time, or not. Default auto: one for fixed times, none for intervals."),
    NativeKey("misfire_grace", units.duration, _TIME, "How late a start may be."),
    NativeKey("spread", units.duration, _TIME, "Shift by a fixed part of this, by the job's name: not all at the full minute."),
    NativeKey("verify", line, _LINE, "A command that must succeed after the run, or the run failed."),
    NativeKey("after", values.strings, _NAMES, "Jobs whose success starts this one."),
    NativeKey("run_on_start", values.flag, _FLAG, "Run once when it is started, too."),
    NativeKey("keep_runs", positive(values.integer), {"type": "integer", "minimum": 1}, "Runs to remember. Default 100."),
    NativeKey("concurrency", values.at_least(values.integer, 0, "0"), _COUNT,
              "Runs at once before overlap decides. Default: one, or with overlap = allow no limit."),
    NativeKey("budget", _shares, _SHARES, "Tokens of shared budgets that a run takes before it starts."),
    NativeKey("paused", values.flag, _FLAG, "Known, but not run by its schedule."),
)  # fmt: skip

BUDGET_KEYS = (
    NativeKey("limit", positive(values.anything), {"type": "number", "exclusiveMinimum": 0}, "Tokens there are …"),
    NativeKey("per", positive(units.duration), _TIME, "… in this time."),
)

FILE_KEYS = (
    NativeKey("namespace", values.filled, _TEXT, "Namespace of every app and job here that names none."),
    NativeKey("tz", values.zone, _TEXT, "Time zone of every schedule here that names none."),
    NativeKey("env", values.anything, {"$ref": "#/$defs/env"}, "Variables for every app and job here; their own win."),
    NativeKey(
        "env_file",
        values.env_files,
        {"anyOf": [_NAMES, _FLAG]},
        "Variable files for every app and job here.",
        "env_files",
    ),
)

TABLES: dict[str, tuple[NativeKey, ...]] = {
    "apps": APP_KEYS,
    "jobs": JOB_KEYS,
    "budgets": BUDGET_KEYS,
    "rota": FILE_KEYS,
}
