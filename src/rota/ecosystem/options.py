"""The command line's options for start, restart and reload, declared once: names, flags, help, and the settings they change."""

# No postponed annotations here: they are data, and compiling sixty of them from text takes longer than the rest of a start.
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec

from rota.ecosystem import units, values
from rota.ecosystem.patch import JOB_ONLY
from rota.ecosystem.problems import InvalidEcosystem, Problem, Wrong

Settings = dict[str, Any]


class _Option(NamedTuple):
    flags: tuple[str, ...]
    help: str
    metavar: str
    setting: str
    read: Callable[[Any], Any] | None
    repeat: bool
    optional: bool


def _option(
    flags: str,
    help: str,
    *,
    metavar: str = "",
    setting: str = "",
    read: Callable[[Any], Any] | None = None,
    repeat: bool = False,
    optional: bool = False,
) -> msgspec.Meta:
    """How an option is written (`flags`; a value is taken if it has a metavar) and which setting it changes."""
    option = _Option(tuple(flags.split()), help, metavar, setting, read, repeat, optional)
    return msgspec.Meta(description=help, extra={"option": option})


Text = str | None
Flag = bool | None
Texts = tuple[str, ...] | None


class CliOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every option of start, restart and reload (reference, section 2.4). None = not given. Values are as typed: the units
    and types of the settings are applied by `patch_from_options`."""

    # What it is called and how it is run.
    name: Annotated[
        Text, _option("-n --name", "name of the app", metavar="NAME", setting="name", read=values.filled)
    ] = None
    namespace: Annotated[
        Text,
        _option(
            "--namespace", "group label, usable as a target", metavar="NS", setting="namespace", read=values.filled
        ),
    ] = None
    instances: Annotated[
        Text,
        _option("-i --instances", 'copies to run, or "max"', metavar="N", setting="instances", read=values.instances),
    ] = None
    interpreter: Annotated[
        Text,
        _option(
            "--interpreter",
            'program that runs the script, or "none"',
            metavar="PROGRAM",
            setting="interpreter",
            read=values.filled,
        ),
    ] = None
    interpreter_args: Annotated[
        Text,
        _option(
            "--interpreter-args --node-args",
            "arguments of the interpreter",
            metavar="ARGS",
            setting="interpreter_args",
            read=values.arguments,
        ),
    ] = None
    module: Annotated[
        Text, _option("--module", "run a Python module, as python -m does", metavar="MODULE", setting="module")
    ] = None
    cwd: Annotated[Text, _option("--cwd", "working directory", metavar="DIR", setting="cwd", read=values.filled)] = None
    args: Annotated[Texts, _option("--", "arguments of the app", metavar="ARGS", setting="args", repeat=True)] = None
    execute_command: Annotated[Flag, _option("-x --execute-command", "run in fork mode", setting="execute_command")] = (
        None
    )
    uid: Annotated[Text, _option("--uid", "run as this user", metavar="USER", setting="uid", read=values.user)] = None
    gid: Annotated[Text, _option("--gid", "run as this group", metavar="GROUP", setting="gid", read=values.user)] = None
    nice: Annotated[
        Text, _option("--nice", "scheduling priority, -20 to 19", metavar="N", setting="nice", read=values.nice)
    ] = None

    # Logs and files.
    output: Annotated[
        Text, _option("-o --output", "file for stdout", metavar="FILE", setting="out_file", read=values.log_path)
    ] = None
    error: Annotated[
        Text, _option("-e --error", "file for stderr", metavar="FILE", setting="error_file", read=values.log_path)
    ] = None
    log: Annotated[
        str | bool | None,
        _option(
            "-l --log",
            "file for both streams",
            metavar="FILE",
            setting="log_file",
            read=values.combined_log,
            optional=True,
        ),
    ] = None
    pid: Annotated[Text, _option("-p --pid", "pid file", metavar="FILE", setting="pid_file", read=values.filled)] = None
    log_type: Annotated[
        Text,
        _option(
            "--log-type", '"json" writes one object per line', metavar="TYPE", setting="log_json", read=values.log_json
        ),
    ] = None
    log_date_format: Annotated[
        Text,
        _option(
            "--log-date-format",
            "date before each line, as YYYY-MM-DD HH:mm:ss",
            metavar="FORMAT",
            setting="log_date_format",
            read=values.date_format,
        ),
    ] = None
    time: Annotated[
        Flag,
        _option(
            "--time", "date before each line, in the standard form", setting="log_date_format", read=values.date_format
        ),
    ] = None
    merge_logs: Annotated[Flag, _option("--merge-logs", "one log file for all instances", setting="merge_logs")] = None
    disable_logs: Annotated[Flag, _option("--disable-logs", "keep no logs", setting="disable_logs")] = None

    # Environment.
    env: Annotated[Text, _option("--env", "use the file's env_NAME", metavar="NAME")] = None
    update_env: Annotated[Flag, _option("-a --update-env", "take over the environment of this shell")] = None
    filter_env: Annotated[
        Texts,
        _option(
            "--filter-env",
            "drop variables of this shell whose name contains TEXT",
            metavar="TEXT",
            setting="filter_env",
            read=values.strings,
            repeat=True,
        ),
    ] = None
    env_file: Annotated[
        Texts,
        _option(
            "--env-file",
            "read variables from a .env file",
            metavar="FILE",
            setting="env_files",
            read=values.env_files,
            repeat=True,
        ),
    ] = None

    # When to restart.
    watch: Annotated[
        bool | tuple[str, ...] | None,
        _option(
            "--watch",
            "restart when files change (in PATH, or the whole directory)",
            metavar="PATH",
            setting="watch",
            read=values.watch,
            repeat=True,
            optional=True,
        ),
    ] = None
    ignore_watch: Annotated[
        Text,
        _option(
            "--ignore-watch", "globs that --watch ignores", metavar="GLOBS", setting="ignore_watch", read=values.spaced
        ),
    ] = None
    ext: Annotated[
        Text, _option("--ext", "watch only these extensions, as js,py", metavar="LIST", setting="watch_ext")
    ] = None
    watch_delay: Annotated[
        Text,
        _option(
            "--watch-delay",
            "wait before the restart, seconds (or 500ms)",
            metavar="TIME",
            setting="watch_delay",
            read=units.seconds,
        ),
    ] = None
    max_memory_restart: Annotated[
        Text,
        _option(
            "--max-memory-restart",
            "restart above this size, as 300M",
            metavar="SIZE",
            setting="max_memory",
            read=units.size,
        ),
    ] = None
    max_restarts: Annotated[
        Text,
        _option(
            "--max-restarts",
            "give up after this many unstable runs",
            metavar="N",
            setting="max_restarts",
            read=values.at_least(values.pm2_integer, 0, "0"),
        ),
    ] = None
    min_uptime: Annotated[
        Text,
        _option(
            "--min-uptime",
            "a shorter run is unstable, milliseconds (or 5s)",
            metavar="TIME",
            setting="min_uptime",
            read=values.at_least(units.milliseconds, 0.1, "100 ms"),
        ),
    ] = None
    restart_delay: Annotated[
        Text,
        _option(
            "--restart-delay",
            "wait before a restart, milliseconds (or 3s)",
            metavar="TIME",
            setting="restart_delay",
            read=units.milliseconds,
        ),
    ] = None
    exp_backoff_restart_delay: Annotated[
        Text,
        _option(
            "--exp-backoff-restart-delay",
            "first wait of a growing one, milliseconds (or 1s)",
            metavar="TIME",
            setting="exp_backoff",
            read=units.milliseconds,
        ),
    ] = None
    autorestart: Annotated[Flag, _option("--no-autorestart", "never restart after an exit", setting="autorestart")] = (
        None
    )
    autostart: Annotated[Flag, _option("--no-autostart", "register without starting", setting="autostart")] = None
    stop_exit_codes: Annotated[
        Texts,
        _option(
            "--stop-exit-codes",
            "exit codes that are not restarted, as 0,3",
            metavar="CODES",
            setting="stop_exit_codes",
            repeat=True,
        ),
    ] = None

    # Stopping and readiness.
    kill_timeout: Annotated[
        Text,
        _option(
            "-k --kill-timeout",
            "time between stop signal and SIGKILL, milliseconds (or 5s)",
            metavar="TIME",
            setting="kill_timeout",
            read=units.milliseconds,
        ),
    ] = None
    stop_signal: Annotated[
        Text,
        _option(
            "--stop-signal",
            "signal that asks the app to end",
            metavar="SIGNAL",
            setting="stop_signal",
            read=values.signal,
        ),
    ] = None
    treekill: Annotated[Flag, _option("--no-treekill", "signal only the main process", setting="treekill")] = None
    shutdown_with_message: Annotated[
        Flag, _option("--shutdown-with-message", "ask the app to end by IPC message", setting="shutdown_with_message")
    ] = None
    wait_ready: Annotated[
        Flag, _option("--wait-ready", "wait until the app says it is ready", setting="wait_ready")
    ] = None
    listen_timeout: Annotated[
        Text,
        _option(
            "--listen-timeout",
            "how long to wait for that, milliseconds (or 10s)",
            metavar="TIME",
            setting="listen_timeout",
            read=units.milliseconds,
        ),
    ] = None

    # Schedules.
    cron: Annotated[
        Text,
        _option(
            "-c --cron --cron-restart",
            "run (with --no-autorestart) or restart at these times; 0 removes it",
            metavar="EXPR",
            setting="cron_restart",
            read=values.cron,
        ),
    ] = None
    every: Annotated[
        Text,
        _option(
            "--every", "run each time this long has passed", metavar="TIME", setting="job_every", read=units.duration
        ),
    ] = None
    tz: Annotated[
        Text, _option("--tz", "time zone of the schedule", metavar="ZONE", setting="job_tz", read=values.zone)
    ] = None
    timeout: Annotated[
        Text,
        _option("--timeout", "end a run that lasts longer", metavar="TIME", setting="job_timeout", read=units.duration),
    ] = None
    overlap: Annotated[
        Text,
        _option(
            "--overlap",
            "what to do while a run is still going: skip, queue, replace or allow",
            metavar="POLICY",
            setting="job_overlap",
            read=values.one_of("skip", "queue", "replace", "allow"),
        ),
    ] = None
    retries: Annotated[
        Text,
        _option(
            "--retries",
            "try a failed run again this often",
            metavar="N",
            setting="job_retries",
            read=values.at_least(values.pm2_integer, 0, "0"),
        ),
    ] = None
    missed: Annotated[
        Text,
        _option(
            "--missed",
            "after downtime: one or none",
            metavar="POLICY",
            setting="job_missed",
            read=values.one_of("one", "none", "auto"),
        ),
    ] = None

    # The command itself.
    only: Annotated[Texts, _option("--only", "with a file: these apps only", metavar="NAMES", repeat=True)] = None
    force: Annotated[Flag, _option("-f --force", "start again what is running already")] = None
    write: Annotated[Flag, _option("-w --write", "write the app to NAME-rota.json")] = None
    parallel: Annotated[Text, _option("--parallel", "how many to act on at a time", metavar="N")] = None
    attach: Annotated[Flag, _option("--attach", "stream the logs afterwards")] = None
    wait: Annotated[Flag, _option("--wait", "return when the apps are ready; fail if they do not become so")] = None
    daemon: Annotated[Flag, _option("--no-daemon", "stay in the foreground")] = None
    sort: Annotated[Text, _option("--sort", "order of the list, as memory:desc", metavar="FIELD")] = None
    mini_list: Annotated[Flag, _option("-m --mini-list", "a short list")] = None
    ignored: Annotated[
        Texts,
        _option(
            "--no-vizion --no-pmx --no-automation --trace --disable-trace --v8 --event-loop-inspector --deep-monitoring "
            "--source-map-support --disable-source-map-support --no-color",
            "accepted for PM2, without effect",
            repeat=True,
        ),
    ] = None

    def __repr__(self) -> str:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        return f"CliOptions({', '.join(given)})"


class OptionInfo(NamedTuple):
    """One option, for parsers, help texts and completion."""

    field: str
    flags: tuple[str, ...]
    help: str
    metavar: str
    """"" = takes no value."""
    negative: bool
    """A `--no-…` flag: giving it means False."""
    repeat: bool
    optional_value: bool


def option_table() -> tuple[OptionInfo, ...]:
    """Every option of CliOptions in declared order."""
    return tuple(
        OptionInfo(
            field, option.flags, option.help, option.metavar, option.flags[0].startswith("--no-") and not option.repeat,
            option.repeat, option.optional,
        )
        for field, option in _declared()
    )  # fmt: skip


def _declared() -> list[tuple[str, _Option]]:
    fields = msgspec.structs.fields(CliOptions)
    return [(field.name, field.type.__metadata__[0].extra["option"]) for field in fields]


def patch_from_options(options: CliOptions) -> Settings:
    """The settings that these options ask for, in rota's units; only what was given. `null` puts a default back.

    Raises:
        InvalidEcosystem: with every option that is wrong.
    """
    patch: Settings = {}
    problems = []
    for field, option in _declared():
        value = getattr(options, field)
        if value is None or not option.setting:
            continue
        if value == "null":
            patch[option.setting] = None
            continue
        try:
            patch[option.setting] = _read(field, option, value)
        except Wrong as error:
            problems.append(Problem(_spelled(option), error.message, error.hint))
    if problems:
        raise InvalidEcosystem(problems)
    return _as_job(patch)


def _read(field: str, option: _Option, value: Any) -> Any:
    if field == "ext":
        return tuple(part.strip().lstrip(".") for part in value.split(",") if part.strip(" ."))
    if field == "stop_exit_codes":
        return tuple(code for item in value for code in values.codes(item))
    return option.read(value) if option.read else value


def _spelled(option: _Option) -> str:
    return next((flag for flag in option.flags if flag.startswith("--")), option.flags[0])


def _as_job(patch: Settings) -> Settings:
    """`--every`, `--timeout` and the like only mean something for a job, which is not restarted by policy."""
    given = sorted(patch.keys() & JOB_ONLY)
    if given and patch.get("autorestart"):
        flag = "--" + given[0].removeprefix("job_")
        raise InvalidEcosystem(
            [Problem(flag, "is for jobs, which are not restarted by policy", "leave autorestart away")]
        )
    if "job_every" in patch and patch.get("cron_restart"):
        raise InvalidEcosystem([Problem("--every", "and --cron exclude each other", "give one schedule")])
    return patch
