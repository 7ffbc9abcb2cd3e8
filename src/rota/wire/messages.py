"""Requests and replies. Every request is one verb; every answer is a stream of `Said` and `Data`, ended by `Done`."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from rota.process.spec import AppSpec  # noqa: TC001 - msgspec resolves annotations at run time

PROTOCOL = 1
"""Raised when a message changes its meaning. Fields are only ever added, with defaults."""

Action = Literal["start", "stop", "restart", "reload", "delete"]
Level = Literal["say", "info", "warn", "error"]


class Render(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to show the answer. Given: the daemon sends text frames; absent: typed JSON."""

    width: int = 300
    colour: bool = False
    silent: bool = False
    """PM2's -s: nothing but data."""
    live: bool = False
    """The client's stdout is a terminal: progress lines may be rewritten in place."""
    table: bool = True
    """Show the process table afterwards, as PM2 does."""
    prefix: str = "[rota] "


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="verb"):
    """Common to all verbs."""

    protocol: int = PROTOCOL
    render: Render | None = None
    cwd: str = "/"
    """The caller's directory: targets may be script paths."""
    version: str = ""
    """The caller's rota: a daemon of another one says on stderr that `rota update` is due."""


class Ping(Request, frozen=True, tag="ping"):
    """Is the daemon there? Data: {"pid", "version", "protocol", "keeper", "started"}."""


class BudgetTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shared budget: `limit` tokens per `per` seconds, at most `burst` at once (0 = all of them)."""

    limit: float
    per: float
    burst: float = 0.0


class StartSpecs(Request, frozen=True, tag="start_specs"):
    """Start apps described by the client. `from_file`: known names are restarted with the new settings, others started;
    `missing_only` starts only those not yet known; otherwise (a script) an app of the same name and path that is online is
    an error unless `force`."""

    specs: tuple[AppSpec, ...]
    from_file: bool = False
    missing_only: bool = False
    force: bool = False
    how: Literal["restart", "reload"] = "restart"
    """What happens to the known ones of a file."""
    parallel: int = 0
    budgets: dict[str, BudgetTerms] = {}
    """[budgets] of the file."""


class Act(Request, frozen=True, tag="act"):
    """One action on existing apps. `targets` follow PM2's selection rules; `names` are exact (from a file)."""

    action: Action
    targets: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    patch: dict[str, msgspec.Raw] = {}
    """Options given on the command line, by CliOptions field (rota.ecosystem.patch)."""
    shell_env: dict[str, str] | None = None
    """--update-env: the caller's environment."""
    toggle_watch: bool = False
    parallel: int = 0
    force: bool = False
    prove: bool = False
    """With reload: ask the app's ports all the while, and fail when one question was not answered."""


class Find(Request, frozen=True, tag="find"):
    """Which instances does a target mean? Data: list of [id, name]; empty when none. Never an error."""

    target: str


class Scale(Request, frozen=True, tag="scale"):
    """`count` is "5", "+2" or "-1"."""

    name: str
    count: str


class List(Request, frozen=True, tag="list"):
    """Data: list of Record."""

    sort: str = ""
    mini: bool = False


class Jlist(Request, frozen=True, tag="jlist"):
    """PM2's JSON records (rendered), or Data: list of Record."""

    pretty: bool = False
    show_env: bool = False


class Describe(Request, frozen=True, tag="describe"):
    """Data: list of Record plus findings."""

    target: str
    local_env: dict[str, str] | None = None
    """The caller's environment, to list the divergent variables."""


class Env(Request, frozen=True, tag="env"):
    """Environment of one instance; with `next_env` (recomputed by the client from its sources) the difference."""

    target: str
    next_env: dict[str, str] | None = None


class Ids(Request, frozen=True, tag="ids"):
    name: str


class Pids(Request, frozen=True, tag="pids"):
    name: str = ""


class LogSources(Request, frozen=True, tag="log_sources"):
    """Data: list of LogSource for a target ("all" by default); the client reads the files itself."""

    target: str = "all"


class Flush(Request, frozen=True, tag="flush"):
    target: str = ""


class ReloadLogs(Request, frozen=True, tag="reload_logs"):
    """Reopen every log file."""


class Save(Request, frozen=True, tag="save"):
    force: bool = False


class ClearDump(Request, frozen=True, tag="cleardump"):
    """Empty the dump."""


class Resurrect(Request, frozen=True, tag="resurrect"):
    """Restore the dump; `dry_run` shows what would come back. With `boot` an app that cannot be started is no failure."""

    dry_run: bool = False
    boot: bool = False


class Kill(Request, frozen=True, tag="kill"):
    """Stop everything, then the daemon and the keeper."""


class Update(Request, frozen=True, tag="update"):
    """Replace the running daemon by the code now installed; no app restarts."""


class Reset(Request, frozen=True, tag="reset"):
    target: str


class SendSignal(Request, frozen=True, tag="send_signal"):
    signal: str
    target: str


class SendLine(Request, frozen=True, tag="send_line"):
    """A line for standard input."""

    id: str
    line: str


class Attach(Request, frozen=True, tag="attach"):
    """Stream both outputs; `i` frames go to standard input."""

    id: str


class Trigger(Request, frozen=True, tag="trigger"):
    target: str
    action: str
    param: str | None = None
    timeout: float = 10.0
    """Seconds to wait for replies."""


class Reconfigure(Request, frozen=True, tag="reconfigure"):
    """The settings file changed: read it again."""


class Subscribe(Request, frozen=True, tag="subscribe"):
    """Data: one ProcessEvent each time something happens, until the client hangs up."""


class Why(Request, frozen=True, tag="why"):
    """The story of an app or job, from the ledger's events."""

    target: str
    limit: int = 50


class Report(Request, frozen=True, tag="report"):
    """Facts about the daemon for `rota report`."""


class Runs(Request, frozen=True, tag="runs"):
    """Runs in the ledger, newest first. Data: list of rota.jobs.run.Run as JSON."""

    job: str = ""
    outcomes: tuple[str, ...] = ()
    since: float = 0.0
    limit: int = 50
    id: int = 0


class Budgets(Request, frozen=True, tag="budgets"):
    """The shared budgets of the files that were started. Data: their terms (`BudgetTerms`) by name."""


class RunJob(Request, frozen=True, tag="run_job"):
    """Run a job now. Data: the run's id, then (follow) its end."""

    name: str
    follow: bool = True
    rerun_of: int = 0


class PauseJob(Request, frozen=True, tag="pause_job"):
    name: str
    paused: bool


class CancelRun(Request, frozen=True, tag="cancel_run"):
    id: int


AnyRequest: TypeAlias = (
    Ping
    | StartSpecs
    | Act
    | Find
    | Scale
    | List
    | Jlist
    | Describe
    | Env
    | Ids
    | Pids
    | LogSources
    | Flush
    | ReloadLogs
    | Save
    | ClearDump
    | Resurrect
    | Kill
    | Update
    | Reset
    | SendSignal
    | SendLine
    | Attach
    | Trigger
    | Reconfigure
    | Subscribe
    | Why
    | Report
    | Runs
    | Budgets
    | RunJob
    | PauseJob
    | CancelRun
)


class Said(msgspec.Struct, frozen=True, tag_field="reply", tag="said"):
    """A line for people."""

    level: Level
    text: str


class Data(msgspec.Struct, frozen=True, tag_field="reply", tag="data"):
    """A result, typed by the verb's docstring."""

    value: Any


class Done(msgspec.Struct, frozen=True, tag_field="reply", tag="done", omit_defaults=True):
    """The end of an answer. `code` is the exit code; the rest names the error when there was one."""

    code: int = 0
    error: str = ""
    message: str = ""
    hint: str = ""


AnyReply: TypeAlias = Said | Data | Done


class LogSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the output of one instance lies."""

    id: int
    name: str
    namespace: str
    out: str
    error: str
    log: str = ""
    running: bool = True
    unwritable: tuple[str, ...] = ()
    """A sentence for each of them that cannot be written at present."""


class ProcessEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something happened to an instance; `event` is PM2's word (start, online, exit, stop, restart, delete ...)."""

    at: float
    event: str
    id: int
    name: str
    detail: str = ""
