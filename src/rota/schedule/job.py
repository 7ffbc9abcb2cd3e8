"""A job: a function, when it runs, and its policies, resolved once from what a decorator was given."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from rota.errors import SpecError
from rota.jobs.plan import Schedule, schedule_of
from rota.jobs.spec import JobSpec, Missed, Overlap, check
from rota.schedule.budgets.budget import Budget
from rota.schedule.holds import Adaptive, Breaker
from rota.suggest import suggestion
from rota.timing.cron import Cron
from rota.timing.duration import format_duration, parse_duration

if TYPE_CHECKING:
    from rota.stores.records import JobRecord

Duration: TypeAlias = str | float | timedelta
Budgets: TypeAlias = Budget | Sequence[Budget] | Mapping[Budget, float]
Kind = Literal["async", "thread", "process"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

KILL_AFTER = 10.0
"""Seconds between a timeout and `stuck`."""


class JobOptions(TypedDict, total=False):
    """What `every`, `cron` and `job` take besides the schedule. Durations: "90s", "1h30m", seconds, or a timedelta."""

    name: str
    """Default: the function's name."""
    timeout: Duration
    """Run limit. Async functions are cancelled; `isolate="process"` ends the process; threads are told, then `stuck`."""
    kill_after: Duration
    """From the timeout to SIGKILL or `stuck`; default 10 s."""
    overlap: Overlap
    """While a run still goes: skip the new one (default), queue it, replace the old one, or allow both."""
    concurrency: int
    """Runs at once, over all processes, before `overlap` decides; default 1, with overlap="allow" no limit."""
    jitter: Duration
    """A stable offset of each run, below this: by hash of the job's name and the host, not by chance."""
    retries: int
    retry_backoff: Duration
    """Before the first retry (default 30 s); doubles each time, up to an hour."""
    budget: Budgets
    """Tokens taken before each run: one of one budget, of several, or {budget: cost}."""
    env: str
    """Environment variable that overrides the schedule: an interval ("30s"; a bare number is milliseconds) or a cron
    expression."""
    missed: Missed
    """After downtime: run the last missed due time ("one"), or not ("none"); default by kind of schedule."""
    misfire_grace: Duration
    """How late a run may start."""
    stale_after: Duration
    """Without a sign of life for this long the job counts as stalled; default twice the interval."""
    isolate: Literal["process"]
    """Run each time in a process of its own, which a timeout can end whatever it does."""
    breaker: int | Breaker
    """Circuit breaker: failures in a row after which the job pauses."""
    adaptive: bool | Adaptive
    """Stretch the interval after failures and while a budget runs low."""
    run_on_start: bool
    """Run the due time just passed at once, if nobody has."""
    paused: bool
    after: Sequence[str | Callable[..., Any]]
    """Run when these jobs have succeeded."""
    keep_runs: int
    """Finished runs kept in the history; default 100."""
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    """Passed to the function."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A registered job. Identity is the object; the name is unique within a scheduler."""

    name: str
    func: Callable[..., Any]
    spec: JobSpec
    schedule: Schedule | None
    text: str
    """The schedule for people: "every 2m", "0 2 * * * Europe/Paris"."""
    kind: Kind
    budgets: tuple[tuple[Budget, float], ...] = ()
    breaker: Breaker | None = None
    adaptive: Adaptive | None = None
    stale_after: float = 0.0
    kill_after: float = KILL_AFTER
    passes_run: Literal["", "first", "keyword"] = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    trouble: str = ""
    """Something about the environment override that the log should say."""

    def renewed(self, record: JobRecord) -> JobRecord:
        """The job's row with its definition as it is here."""
        return replace(
            record, schedule=self.text, cron=self.spec.cron, every=self.spec.every, stale_after=self.stale_after
        )


def make_job(
    func: Callable[..., Any],
    options: JobOptions,
    *,
    host: str,
    cron: str = "",
    every: Duration = 0,
    tz: str = "",
    dst: Literal["debian", "real"] = "debian",
    default_tz: str = "UTC",
) -> Job:
    """Resolve a function and its options.

    Raises:
        SpecError: an option is wrong; the message names it.
    """
    name = options.get("name") or getattr(func, "__name__", "")
    if not name or name == "<lambda>":
        raise SpecError("this job has no name", "pass name=")
    _refuse_unknown(options, name)
    cron, interval, trouble = _overridden(options.get("env", ""), cron, every, name)
    spec = _spec(options, cron, interval, tz, dst)
    check(spec, name)
    schedule = schedule_of(spec, name, host, default_tz)
    kind = _kind(func, options)
    kwargs = dict(options.get("kwargs", {}))
    adaptive, breaker = options.get("adaptive"), options.get("breaker")
    if adaptive and not interval:
        raise SpecError(f"{name}: adaptive needs an interval", "use every(), or drop adaptive", key="adaptive")
    return Job(
        name=name,
        func=func,
        spec=spec,
        schedule=schedule,
        text=_text(schedule, interval),
        kind=kind,
        budgets=_budgets(options.get("budget", ())),
        breaker=Breaker(breaker) if isinstance(breaker, int) and breaker else breaker or None,
        adaptive=Adaptive() if adaptive is True else adaptive or None,
        stale_after=_seconds(options, "stale_after"),
        kill_after=_seconds(options, "kill_after", KILL_AFTER),
        passes_run=_passes_run(func, name, len(options.get("args", ())), kwargs),
        args=tuple(options.get("args", ())),
        kwargs=kwargs,
        trouble=trouble,
    )


def _spec(options: JobOptions, cron: str, every: float, tz: str, dst: Literal["debian", "real"]) -> JobSpec:
    after = tuple(each if isinstance(each, str) else each.__name__ for each in options.get("after", ()))
    return JobSpec(
        cron=cron,
        every=every,
        tz=tz,
        dst=dst,
        timeout=_seconds(options, "timeout"),
        overlap=options.get("overlap", "skip"),
        concurrency=options.get("concurrency", 0),
        retries=options.get("retries", 0),
        retry_backoff=_seconds(options, "retry_backoff", 30.0),
        missed=options.get("missed", "auto"),
        misfire_grace=_seconds(options, "misfire_grace"),
        spread=_seconds(options, "jitter"),
        after=after,
        run_on_start=options.get("run_on_start", False),
        keep_runs=options.get("keep_runs", 100),
        budget={budget.name: cost for budget, cost in _budgets(options.get("budget", ()))},
        paused=options.get("paused", False),
    )


def _refuse_unknown(options: JobOptions, name: str) -> None:
    known = JobOptions.__annotations__
    for key in options:
        if key not in known:
            hint = suggestion(key, known) or f"known are: {', '.join(known)}"
            raise SpecError(f"{name}: there is no option {key!r}", hint, key=key)
    _one_of(options.get("overlap", "skip"), ("skip", "queue", "replace", "allow"), "overlap")
    _one_of(options.get("missed", "auto"), ("one", "none", "auto"), "missed")
    _one_of(options.get("isolate", "process"), ("process",), "isolate")


def _one_of(value: object, known: tuple[str, ...], key: str) -> None:
    if value not in known:
        raise SpecError(f"{key}={value!r} is not known", f"use {' or '.join(map(repr, known))}", key=key)


def _overridden(env: str, cron: str, every: Duration, name: str) -> tuple[str, float, str]:
    """Schedule after the environment's say. What the variable holds is never repeated: it may be anything."""
    interval = parse_duration(every)
    given = os.environ.get(env, "").strip() if env else ""
    if not given:
        return cron, interval, ""
    try:
        if cron:
            Cron(given)
            return given, interval, ""
        override = parse_duration(given, unit="ms")
        if override > 0:
            return cron, override, ""
    except SpecError:
        pass
    return cron, interval, f"{name}: the value of {env} is no schedule; the built-in one holds"


def _kind(func: Callable[..., Any], options: JobOptions) -> Kind:
    if options.get("isolate") == "process":
        if "<locals>" in getattr(func, "__qualname__", "<locals>"):
            hint = "define it at module level, so that the new process can import it"
            raise SpecError(
                f"{options.get('name') or func!r} cannot be isolated: it is a local function", hint, key="isolate"
            )
        return "process"
    call = getattr(func, "__call__", None)  # noqa: B004 - an object whose __call__ is async is async too
    return "async" if inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(call) else "thread"


def _passes_run(
    func: Callable[..., Any], name: str, given: int, kwargs: Mapping[str, Any]
) -> Literal["", "first", "keyword"]:
    """Whether the function wants the run: a parameter called `run`, or one more positional than it is given.

    Raises:
        SpecError: it needs more than it would get, and every run would fail.
    """
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        return ""
    needed = [p.name for p in parameters if p.default is p.empty and p.name not in kwargs and p.name != "run"]
    by_position = [p.name for p in parameters if p.kind in _POSITIONAL and p.name in needed]
    unmet = by_position[given:] + [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name in needed]
    wants: Literal["", "first", "keyword"] = ""
    if any(p.name == "run" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        first = next(iter(parameters))
        wants = "first" if first.name == "run" and first.kind is not first.KEYWORD_ONLY else "keyword"
    elif len(unmet) == 1 and unmet == by_position[given:]:
        return "first"
    if unmet:
        raise SpecError(f"{name} is given no {', '.join(unmet)}", "pass args= or kwargs=", key="args")
    return wants


def _budgets(given: Any) -> tuple[tuple[Budget, float], ...]:
    """`Budgets`, whatever people may have written."""
    if not isinstance(given, Mapping):
        given = dict.fromkeys([given] if isinstance(given, (Budget, str)) else given, 1.0)
    for budget in given:
        if not isinstance(budget, Budget):
            hint = 'as in budget=Budget("lookup", limit=15, per="15m")'
            raise SpecError(f"{budget!r} is no budget", hint, key="budget")
    return tuple((budget, float(cost)) for budget, cost in given.items())


def _seconds(
    options: JobOptions,
    key: Literal["timeout", "kill_after", "jitter", "retry_backoff", "misfire_grace", "stale_after"],
    default: float = 0.0,
) -> float:
    try:
        return parse_duration(options.get(key, default))
    except SpecError as error:
        raise SpecError(error.message, error.hint, key=key) from None


def _text(schedule: Schedule | None, every: float) -> str:
    if schedule is None:
        return ""
    trigger = schedule.trigger
    return f"{trigger.expression} {trigger.tz}" if isinstance(trigger, Cron) else f"every {format_duration(every)}"
