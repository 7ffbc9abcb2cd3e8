"""A run of a job, from its claim to its outcome, and the changes that are allowed on the way. A row of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

TriggerKind = Literal["cron", "manual", "retry", "catch-up", "after"]
"""Why a run exists: its schedule (cron or every), a person, an abandoned run tried again, a due time made up for after
downtime, another job's success."""


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    """Exit code 0, and `verify` agreed."""
    FAILED = "failed"
    """Another exit code, a signal, a program that could not be started, or `verify` said no."""
    TIMEOUT = "timeout"
    """It was ended because it exceeded its time."""
    SKIPPED = "skipped"
    """Not started: an earlier run was still going."""
    MISSED = "missed"
    """Not started: the due time passed unattended, or too long ago."""
    STUCK = "stuck"
    """It exceeded its time and could not be ended; its slot was given back."""
    ABANDONED = "abandoned"
    """Nobody knows how it ended: machine, daemon or worker died with it."""
    CANCELLED = "cancelled"
    """A person ended it, or a newer run replaced it."""

    @property
    def ran(self) -> bool:
        """Whether the program was started, or may have been."""
        return self not in (Outcome.SKIPPED, Outcome.MISSED)

    @property
    def bad(self) -> bool:
        """Whether it counts as an error."""
        return self in (Outcome.FAILED, Outcome.TIMEOUT, Outcome.STUCK, Outcome.ABANDONED)


class RunState(StrEnum):
    """Where a run stands."""

    REQUESTED = "requested"
    """Somebody asked for it; no worker has taken it."""
    CLAIMED = "claimed"
    """The due time is taken: nobody else will start it."""
    WAITING = "waiting"
    """For its place behind another run, for a budget, or for the next attempt."""
    RUNNING = "running"
    FINISHED = "finished"


_NEXT: dict[RunState, frozenset[RunState]] = {
    RunState.REQUESTED: frozenset({RunState.CLAIMED, RunState.FINISHED}),
    RunState.CLAIMED: frozenset({RunState.WAITING, RunState.RUNNING, RunState.FINISHED}),
    RunState.WAITING: frozenset({RunState.RUNNING, RunState.FINISHED}),
    RunState.RUNNING: frozenset({RunState.WAITING, RunState.FINISHED}),
    RunState.FINISHED: frozenset(),
}

# failed before a start: the program could not be started at all.
_UNSTARTED = frozenset({Outcome.SKIPPED, Outcome.MISSED, Outcome.CANCELLED, Outcome.ABANDONED, Outcome.FAILED})
_ENDINGS: dict[RunState, frozenset[Outcome]] = {
    RunState.REQUESTED: frozenset({Outcome.CANCELLED, Outcome.SKIPPED}),
    RunState.CLAIMED: _UNSTARTED,
    # A run that waits for its next attempt has run before: it may end as that attempt did.
    RunState.WAITING: _UNSTARTED | {Outcome.TIMEOUT},
    RunState.RUNNING: frozenset(Outcome) - {Outcome.SKIPPED, Outcome.MISSED},
    RunState.FINISHED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One due time (or one request) and all its attempts. Instants are seconds since the epoch.

    (app, job, due) is the identity where `due` is set: claimed by a unique insert before anything is started.
    """

    id: int = 0
    app: str = ""
    """The app whose process the job lives in; "" = the daemon runs it."""
    job: str
    due: float | None = None
    trigger: TriggerKind = "cron"
    state: RunState = RunState.CLAIMED
    outcome: Outcome | None = None
    attempt: int = 1
    parent: int | None = None
    """The run this one repeats or follows."""
    requested: float | None = None
    claimed: float | None = None
    claimed_by: str = ""
    host: str = ""
    pid: int | None = None
    instance: int | None = None
    fence: int = 0
    lease_until: float | None = None
    started: float | None = None
    """Start of the current attempt."""
    finished: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: str = ""
    output: str = ""
    """File that holds what it printed, from byte `output_start` to `output_end`."""
    output_start: int | None = None
    output_end: int | None = None
    note: str = ""
    """Why it was skipped, missed, or started late."""

    @property
    def lateness(self) -> float | None:
        """Seconds from due time to start."""
        return None if self.due is None or self.started is None else self.started - self.due

    @property
    def duration(self) -> float | None:
        """Seconds the last attempt took, None while unknown."""
        return None if self.started is None or self.finished is None else self.finished - self.started


class WrongTurn(RuntimeError):
    """A change that a run in this state cannot make: a fault in rota, not in what people wrote."""


def advance(run: Run, state: RunState, **changes: Any) -> Run:
    """The run in its next state, with other fields changed along.

    Raises:
        WrongTurn: the state does not follow.
    """
    if state not in _NEXT[run.state] or state is RunState.FINISHED:
        raise WrongTurn(f"run {run.id} of {run.job} is {run.state.value} and cannot become {state.value}")
    return replace(run, state=state, **changes)


def claim(run: Run, at: float, by: str, fence: int, lease_until: float | None = None) -> Run:
    """A requested run, taken by a worker."""
    return advance(run, RunState.CLAIMED, claimed=at, claimed_by=by, fence=fence, lease_until=lease_until)


def start(run: Run, at: float, *, pid: int | None = None, instance: int | None = None) -> Run:
    """The run's program was started."""
    return advance(run, RunState.RUNNING, started=at, pid=pid, instance=instance, exit_code=None, signal=None, error="")


def wait(run: Run, note: str) -> Run:
    """A claimed run that must wait before it starts."""
    return advance(run, RunState.WAITING, note=note)


def retry(run: Run, ending: Ending, note: str) -> Run:
    """An attempt ended badly and another one follows."""
    return advance(
        run,
        RunState.WAITING,
        attempt=run.attempt + 1,
        exit_code=ending.exit_code,
        signal=ending.signal,
        error=ending.reason,
        note=note,
    )


def finish(run: Run, outcome: Outcome, at: float, *, reason: str = "", **changes: Any) -> Run:
    """The run's last state.

    Raises:
        WrongTurn: it is over already, or this cannot be how it ended.
    """
    if outcome not in _ENDINGS[run.state]:
        raise WrongTurn(f"run {run.id} of {run.job} is {run.state.value} and cannot end as {outcome.value}")
    text = {"error": reason} if outcome.bad else {"note": reason or run.note}
    return replace(run, state=RunState.FINISHED, outcome=outcome, finished=at, **{**text, **changes})


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ended: what the operating system said, and what it means.

    Args:
        outcome: the meaning.
        reason: one line for people; "" for ok.
        exit_code, signal: at most one is set; neither means that nobody knows.
    """

    outcome: Outcome
    reason: str = ""
    exit_code: int | None = None
    signal: str | None = None


def conclude(
    exit_code: int | None,
    signal: str | None = None,
    *,
    cancelled: str = "",
    timed_out: float = 0.0,
    verify_code: int | None = None,
) -> Ending:
    """What an ended process means.

    Args:
        exit_code, signal: from the operating system; neither when they could not be known.
        cancelled: who or what ended it, "" if nobody did.
        timed_out: the limit it exceeded, seconds; 0 when it did not.
        verify_code: exit code of the verify command, None when there is none or it was not reached.
    """
    if cancelled:
        return Ending(Outcome.CANCELLED, cancelled, exit_code, signal)
    if timed_out:
        return Ending(Outcome.TIMEOUT, f"ended after its timeout of {timed_out:g} s", exit_code, signal)
    if exit_code is None and signal is None:
        return Ending(Outcome.ABANDONED, "it ended while nobody was looking; exit code unknown")
    if signal is not None:
        return Ending(Outcome.FAILED, f"killed by {signal}", None, signal)
    if exit_code:
        return Ending(Outcome.FAILED, f"exit code {exit_code}", exit_code)
    if verify_code:
        return Ending(Outcome.FAILED, f"it exited with 0, but verify said no (exit code {verify_code})", exit_code)
    return Ending(Outcome.OK, "", exit_code)
