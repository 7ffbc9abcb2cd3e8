"""The contract of a store: one suite (tests/contract) holds every implementation to these words.

Stores save and claim atomically; they decide nothing that is policy. Every call is synchronous, thread-safe, short, and
takes `now` from the caller. A method that returns a value has done its work durably (against the death of the process)
when it returns. Fit for a server with transactions or scripts: no call hands code to the store, and none needs more
than the rows of one job, one run or one key.

Errors: `StoreUnavailable` when the store cannot be reached, read or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from rota.jobs.run import Outcome, RunState, TriggerKind
    from rota.stores.records import (
        CheckpointRecord,
        Claim,
        Claimed,
        Ending,
        Heartbeat,
        Held,
        JobRecord,
        Level,
        Refused,
        RunRecord,
        Ticket,
    )
    from rota.timing.meter import BudgetRule


class JobStore(Protocol):
    """Known jobs. A job is identified by `(app, name)`."""

    def register(self, job: JobRecord) -> JobRecord:
        """Make the job known, or renew what is known of its schedule, source, host, pid and registration time.

        Counters, pause, holds and last run stay as they are. Returns the record as it now stands.
        """
        ...

    def forget(self, app: str, name: str) -> bool:
        """Drop the job; its runs stay until they are pruned. False when there is none."""
        ...

    def job(self, app: str, name: str) -> JobRecord | None:
        """The job, or None."""
        ...

    def jobs(self, app: str | None = None) -> list[JobRecord]:
        """All jobs, of one app when given, by app and name."""
        ...

    def set_paused(self, app: str, name: str, paused: bool) -> bool:
        """Pause or resume. False when there is no such job."""
        ...

    def set_hold(self, app: str, name: str, until: float, reason: str) -> None:
        """Allow no claim at a due time before `until`; 0 lifts the hold."""
        ...

    def set_cursor(self, app: str, name: str, last: float, horizon: float, relived: int) -> None:
        """The clock was put back: due times go on from `last` (see `rota.jobs.plan.Cursor`). `horizon` and `relived` only
        grow, so that workers who notice one after the other agree."""
        ...

    def set_next(self, app: str, name: str, next_due: float | None, expected_by: float | None) -> None:
        """When the job is due next and by when it must have finished, for those who look."""
        ...


class RunStore(Protocol):
    """The ledger: one row per due time, and one per request."""

    def claim(self, claim: Claim) -> Claimed | Refused:
        """Take a due time, or a requested run, before starting it.

        At a due time: `taken` when a row for `(app, job, due)` exists; then `held` when the job is paused or its hold
        lies beyond `claim.now`; then `busy` when `room` or more runs of the job are unfinished with a live lease (one
        that is None counts as live). Otherwise a row is inserted, the job's fence is raised by one and returned, and
        the job's `last_due`, `next_due`, `expected_by` and (unless waiting) `last_started` are set. A requested run:
        `taken` when it is no longer in state `requested`; pause and hold do not matter. All of it atomically: of any
        number of claims for one due time exactly one succeeds, ever. A job that is not registered can be claimed for.

        `taken` says when that was decided: an instant in the future means the clock was set back since.
        """
        ...

    def note_unrun(
        self,
        app: str,
        job: str,
        due: float,
        outcome: Outcome,
        now: float,
        note: str = "",
        count: int = 1,
        keep: int | None = None,
    ) -> bool:
        """Record that nothing was started at `due` (skipped, missed, cancelled). False when the due time is decided
        already. `count` is how many due times the row stands for; it is added to the job's counter. `keep`: now and then the
        job's finished runs are pruned to the newest so many; None: never."""
        ...

    def advance(
        self, run: int, fence: int, state: RunState, now: float, *, attempt: int = 1, room: int | None = None
    ) -> bool:
        """Move our unfinished run to another state. To `running`: sets `started` if unset, and is refused while `room`
        or more *other* runs of the job are running or claimed. False when refused, or the run is not ours (any more)."""
        ...

    def finish(self, run: int, fence: int, ending: Ending) -> bool:
        """Write the outcome once, count it on the job, and prune the job's finished runs to the newest `ending.keep`.

        False, and nothing written, when the run is finished already or claimed under a higher fence. Outcomes without a
        start (skipped, missed) count as such, not as runs. Some more than `keep` may stay for a while; a due time whose
        row is gone stays taken.
        """
        ...

    def amend(self, run: int, note: str) -> None:
        """Add a note to a run, finished or not."""
        ...

    def place(self, run: int, fence: int, *, instance: int, pid: int | None, output: str, gen: int = 0) -> bool:
        """Where our unfinished run executes, as which start of that instance, and the file that holds what it prints. False
        when it is not ours."""
        ...

    def progress(self, run: int, fence: int, done: int, total: int | None, now: float, resumed_from: int = 0) -> bool:
        """How far our unfinished run has come. False when it is not ours (any more)."""
        ...

    def resume_point(self, app: str, job: str, before: int) -> int:
        """What the newest run older than `before` that noted progress had done, if it did not end `ok`; else 0."""
        ...

    def renew(self, worker: str, until: float) -> dict[int, bool]:
        """Extend the lease of every unfinished run of the worker. Returns them, with whether someone asked to cancel."""
        ...

    def lapse(self, worker: str, now: float) -> int:
        """Somebody saw that this worker is dead: the leases of its unfinished runs end now. How many those were."""
        ...

    def reap(self, now: float, app: str | None = None) -> list[RunRecord]:
        """End every unfinished run (of one app when given) whose lease ran out as `abandoned`, count it on its job, and
        return them as ended. Runs without a lease (`lease_until` None) are their owner's business."""
        ...

    def request(
        self,
        app: str,
        job: str,
        now: float,
        trigger: TriggerKind = "manual",
        *,
        parent: int | None = None,
        note: str = "",
        attempt: int = 1,
    ) -> int:
        """Ask for a run outside the schedule; any worker of the job may claim it. Returns its id."""
        ...

    def requested(self, app: str) -> list[RunRecord]:
        """Requests that nobody has claimed, oldest first."""
        ...

    def request_cancel(self, run: int) -> bool:
        """Ask the owner of an unfinished run to end it; a request that nobody claimed is cancelled at once.
        False when it is finished or unknown."""
        ...

    def run(self, run: int) -> RunRecord | None:
        """The run, or None."""
        ...

    def runs(
        self,
        app: str | None = None,
        job: str | None = None,
        *,
        outcomes: Iterable[Outcome] = (),
        since: float | None = None,
        unfinished: bool = False,
        before: int | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """Runs, newest (by id) first, filtered; `since` compares with the due time, or the request's instant without
        one; `before` continues below an id."""
        ...


class BudgetStore(Protocol):
    """Budgets: a meter per key and one line of waiters in order of arrival, over all processes.

    Nobody overtakes: while a live waiter stands in line, `budget_take` refuses and only the first in line is served.
    Waiters live as long as their holder, whose life `expires` prolongs; then they are passed over as if they had left.
    """

    def budget_take(self, rule: BudgetRule, cost: float, now: float) -> float:
        """Spend now: 0.0. Or refuse: seconds until it might go, infinite when never. Keeps the rule for `budget_levels`."""
        ...

    def budget_join(self, rule: BudgetRule, cost: float, holder: str, now: float, expires: float) -> Ticket:
        """Take a place at the end of the line, or spend at once when there is no line and enough (ticket with wait 0)."""
        ...

    def budget_poll(
        self, rule: BudgetRule, ticket: int, cost: float, holder: str, now: float, expires: float
    ) -> Ticket:
        """Ask again and prolong the holder's life: wait 0 = served, and the place is gone. A ticket that was passed over
        meanwhile gets a new place at the end (a new id)."""
        ...

    def budget_leave(self, key: str, ticket: int) -> None:
        """Give up the place."""
        ...

    def budget_reserve(self, rule: BudgetRule, cost: float, now: float) -> Ticket:
        """Spend now or in future, behind everyone who waits: the ticket's `wait` is a promise. It is not left by time."""
        ...

    def budget_unreserve(self, rule: BudgetRule, ticket: Ticket, cost: float, now: float) -> None:
        """Give back a reservation that was not used."""
        ...

    def budget_restamp(self, rule: BudgetRule, cost: float, at: float, now: float) -> None:
        """What was taken at `at` counts from `now` on: it was in use until then."""
        ...

    def budget_penalize(self, rule: BudgetRule, until: float, now: float) -> None:
        """Serve nobody before `until`; never shortens an earlier penalty."""
        ...

    def budget_levels(self, now: float, keys: Sequence[str] | None = None) -> list[Level]:
        """What the budgets look like, by key."""
        ...


class SignStore(Protocol):
    """Signs of life: heartbeats, checkpoints, leases."""

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write the sign of life; `started` is kept from the first when 0."""
        ...

    def heartbeats(self, app: str | None = None) -> list[Heartbeat]:
        """All heartbeats, by name."""
        ...

    def drop_heartbeats(self, *, names: Iterable[str] = (), before: float | None = None) -> int:
        """Forget heartbeats by name, or those expected before an instant. Returns how many."""
        ...

    def save_checkpoint(self, checkpoint: CheckpointRecord) -> None:
        """Write a checkpoint. Fields that are None stay as they were; `data` is merged
        as a JSON merge patch (RFC 7396); a stored
        `stale_after` stays when the new one is 0. `updated_at` never goes back."""
        ...

    def checkpoints(self, source: str | None = None, chain: str | None = None) -> list[CheckpointRecord]:
        """Checkpoints, by source and chain."""
        ...

    def drop_checkpoint(self, source: str, chain: str) -> bool:
        """Forget one. False when there is none."""
        ...

    def acquire(self, name: str, holder: str, now: float, until: float) -> Held | None:
        """The lease when it is free, lapsed or already ours (then extended); else None. A new holder gets a higher fence
        than any before."""
        ...

    def extend(self, name: str, holder: str, fence: int, now: float, until: float) -> Held | None:
        """The lease with a new end, or None when it is lost. A lapsed lease is lost even if nobody took it."""
        ...

    def release(self, name: str, holder: str, fence: int) -> bool:
        """Free the lease. False when it was not ours."""
        ...


class Store(JobStore, RunStore, BudgetStore, SignStore, Protocol):
    """Everything the library keeps."""

    shared: bool
    """Whether other processes may see and change it. Budgets of a shared store count wall time, of one's own monotonic."""
    url: str
    """How to open it again: "memory://", "sqlite:///path"."""

    def batch(self) -> AbstractContextManager[None]:
        """What the ledger is told inside is written together, at the end: many small writes at the cost of one.

        A write that fails inside undoes itself alone. When the end fails (`StoreUnavailable`) nothing was written.
        Budgets are not part of it and must not be touched inside.
        """
        ...

    def changes(self) -> int:
        """A number that differs after another process wrote anything, or anyone paused, asked for or cancelled something."""
        ...

    def close(self) -> None:
        """Release descriptors. The store may be used again and then reopens."""
        ...


__all__ = ["BudgetStore", "JobStore", "RunStore", "SignStore", "Store"]
