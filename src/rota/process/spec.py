"""What was asked of an app: every option, declared once. CLI flags, file keys, defaults and the JSON Schema derive from here.

Durations are seconds (float), sizes are bytes (int), paths are absolute. Loaders (`rota.ecosystem`) resolve what people
write into these values; nothing below this line guesses.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rota.jobs.spec import JobSpec  # noqa: TC001 - msgspec resolves annotations at run time

ExecMode = Literal["fork", "cluster"]
ProbeKind = Literal["http", "tcp", "exec", "log"]

PM2_MIN_UPTIME = 1.0
PM2_MAX_RESTARTS = 16
PM2_KILL_TIMEOUT = 1.6
PM2_STOP_SIGNAL = "SIGINT"
PM2_LISTEN_TIMEOUT = 3.0
PM2_BACKOFF_RESET = 30.0


class ProbeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question asked of a running process until it answers well.

    `target` is a URL for http (2xx and 3xx are good), `host:port` or a unix socket path for tcp, a regular expression
    (searched per line, either stream) for log; `command` is the argv for exec, run in the app's directory and environment.
    """

    kind: ProbeKind
    target: str = ""
    command: tuple[str, ...] = ()
    initial_delay: float = 0.0
    interval: float = 1.0
    timeout: float = 5.0
    """One attempt's limit, seconds."""
    deadline: float = 30.0
    """Readiness only: how long the app may take to become ready, seconds."""
    failures: int = 3
    """Liveness only: consecutive failures that count as dead."""
    successes: int = 1


class StopSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a process is asked to end."""

    signal: str = PM2_STOP_SIGNAL
    kill_timeout: float = PM2_KILL_TIMEOUT
    """Grace between the signal and SIGKILL, seconds. Not a run limit: see JobSpec.timeout."""
    tree: bool = True
    """Signal every descendant, not only the main process. SIGKILL at the end always takes the whole tree."""
    with_message: bool = False
    """Send the IPC message "shutdown" instead of a signal."""


class RestartSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When to start again after an exit nobody asked for."""

    autorestart: bool = True
    stop_exit_codes: tuple[int, ...] = ()
    min_uptime: float = PM2_MIN_UPTIME
    max_restarts: int | None = None
    """Consecutive unstable runs (shorter than min_uptime) after which the app is errored. None: PM2_MAX_RESTARTS, but as long
    as the pause before the next one is min_uptime or more, none at all: who waits between tries waits for something to come
    back. PM2's own count, within `min_uptime * max_restarts` of the start, has that effect."""
    restart_delay: float = 0.0
    exp_backoff: float = 0.0
    """First delay of an exponential backoff (x 1.5 up to 15 s), seconds; 0 = off. Overrides restart_delay."""
    backoff_reset: float = PM2_BACKOFF_RESET
    """A run that lasted this long, seconds, starts that backoff afresh."""


class WatchSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Restart when files change."""

    paths: tuple[str, ...] = ()
    """Absolute; empty means the app's directory."""
    ignore: tuple[str, ...] | None = None
    """Globs relative to the app's directory; None = rota's defaults (.git, caches, environments, node_modules, logs)."""
    extensions: tuple[str, ...] = ()
    delay: float = 0.0


KEEP_ALL = -1
"""For people: of rotated files all are kept."""


class LogSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where output goes. A path of None means rota's default place; "/dev/null" means nowhere."""

    out_file: str | None = None
    error_file: str | None = None
    log_file: str | None = None
    """Combined file; None = none, "" = the default combined place."""
    merge: bool = False
    disabled: bool = False
    json: bool = False
    date_format: str = ""
    """Day.js tokens put before each line; "" = raw bytes."""
    max_size: int | None = None
    keep: int | None = None
    compress: bool | None = None
    rotate_cron: str | None = None
    max_total: int | None = None
    """Rotation: None = the home's settings (10M, 30, gzip, midnight, 1G in all)."""


class AppSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named entry of an ecosystem file, or what a command line asked for, fully resolved."""

    name: str
    namespace: str = "default"

    # What to run: [interpreter, *interpreter_args, exec_path, *args], or [exec_path, *args] when interpreter is "none".
    script: str = ""
    """As it was written."""
    exec_path: str = ""
    """PM2's pm_exec_path: absolute path of script, module source or program."""
    args: tuple[str, ...] = ()
    interpreter: str = "none"
    interpreter_args: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    """When not empty, exactly what is executed (a module, an entry point, a shell line); the fields above are for show."""
    interpreter_reason: str = ""
    """Why this interpreter: shown by describe."""
    cwd: str = "/"
    source: str = ""
    """The ecosystem file this came from, "" for the command line."""

    exec_mode: ExecMode = "fork"
    instances: int = 1
    """0 = one per CPU, negative = CPUs minus that many; resolved when started."""
    instances_given: bool = False
    """Whether the user named a number: decides the log file suffix, as in PM2."""
    instance_var: str = "NODE_APP_INSTANCE"
    increment_var: str = ""

    # Environment: `env` is what was declared (file, env_file, --env); `shell_env` is the caller's environment after filter_env.
    env: dict[str, str] = {}
    shell_env: dict[str, str] = {}
    env_name: str = ""
    """The chosen --env."""
    env_variants: dict[str, dict[str, str]] = {}
    """env_<x> blocks as declared, for prettylist and `rota env --diff`."""
    env_files: tuple[str, ...] = ()
    filter_env: tuple[str, ...] = ()
    port: int | None = None

    uid: str = ""
    gid: str = ""
    umask: int | None = None
    nice: int | None = None
    limits: dict[str, int] = {}
    """Soft+hard resource limits by name without RLIMIT_, as {"NOFILE": 65536}."""

    autostart: bool = True
    depends_on: tuple[str, ...] = ()
    """Names of apps that must be ready (jobs: have succeeded) first."""
    restart: RestartSpec = RestartSpec()
    stop: StopSpec = StopSpec()
    max_memory: int = 0
    """Bytes of the whole tree above which the app is restarted; 0 = no limit."""
    cron_restart: str = ""
    """Restart a service on this cron expression (a job has `job` instead)."""
    cron_tz: str = ""
    """IANA zone of cron_restart; "" = the daemon's."""
    wait_ready: bool = False
    listen_timeout: float = PM2_LISTEN_TIMEOUT
    ready: ProbeSpec | None = None
    alive: ProbeSpec | None = None
    watch: WatchSpec | None = None
    logs: LogSpec = LogSpec()
    pid_file: str | None = None
    job: JobSpec | None = None
    """Set: this entry is a job; its runs follow the plan and it is never restarted by policy."""
    calls: dict[str, float] = {}
    """Tokens of shared budgets that a service takes by itself, by budget name, in each round of its own work. Declared, so
    that `rota check`, `plan` and `sim` can reckon with them; nobody is held back."""
    calls_every: float = 0.0
    """Seconds between two such rounds of one instance."""

    # Cluster (listeners of our own): see docs/architecture.md.
    listen: tuple[str, ...] = ()
    balance: Literal["auto", "slot", "shared", "rr"] = "auto"
    affinity: Literal["", "ip"] = ""
    """ip: the connections of one address go to one instance, for as long as that is there."""
    soft_drain: float = 1.0
    """A copy that leaves: how long open connections may end by themselves before it is asked to end them, seconds."""
    drain_timeout: float = 8.0
    """And how long they may keep it at all, seconds; its SIGKILL comes no earlier either."""
    min_instances: int = 0
    max_instances: int = 0
    """Above 0: the number of instances follows the load, between these two."""
    scale_cpu: float = 75.0
    """Percent of one core per instance from which there should be more."""
    scale_queue: int = 16
    """Connections waiting to be accepted from which there should be more."""
    scale_down_after: float = 60.0
    """Quiet time before there are fewer, seconds."""

    own: tuple[str, ...] = ()
    """Which of `process.defaults.STEERED` were said of this app: the home's defaults decide the others."""
    version: str = "N/A"
    extra: dict[str, msgspec.Raw] = {}
    """Keys of a PM2 file that are accepted and carried for show only (pmx, trace, vizion ...)."""

    def command(self) -> tuple[str, ...]:
        """The argv to execute."""
        if self.argv:
            return self.argv
        if self.interpreter in ("", "none"):
            return (self.exec_path, *self.args)
        return (self.interpreter, *self.interpreter_args, self.exec_path, *self.args)

    def __repr__(self) -> str:
        # Environment values are secrets; a repr ends in logs and tracebacks.
        return f"AppSpec(name={self.name!r}, namespace={self.namespace!r}, script={self.script!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("name", self.name), ("namespace", self.namespace)]


def in_cluster(spec: AppSpec) -> bool:
    """Whether rota owns the app's listening sockets."""
    return spec.job is None and (spec.exec_mode == "cluster" or bool(spec.listen))


def is_gated(spec: AppSpec) -> bool:
    """Whether something must say that the app is ready: a probe, the app itself, or its first listening socket."""
    return spec.wait_ready or spec.ready is not None or (spec.exec_mode == "cluster" and not spec.listen)


MOST_INSTANCES = 1000
"""Copies of one app. Who asks for more has nearly always given a port to the wrong option, and no machine survives it."""


def resolved_instances(requested: int, cpus: int) -> int:
    """PM2's rule: 0 = one per CPU, negative = CPUs minus that many, never below one."""
    if requested > 0:
        return requested
    return max(1, cpus + requested)
