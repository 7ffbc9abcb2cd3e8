"""The one owner of instance state: event -> step -> ledger -> effects. Every change of every instance goes through `handle`."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from rota.daemon.entry import Entry, Waiter
from rota.process.effects import Announce, Spawn
from rota.process.events import SpawnFailed, Wanted
from rota.process.state import Backoff, Down, Failed, Instance, Ready, Starting, Up, mark_of, process_of
from rota.process.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rota.clock import Clock
    from rota.daemon.ledger import Ledger
    from rota.process.effects import Effect
    from rota.process.events import Event, Want
    from rota.process.spec import AppSpec
    from rota.process.state import Desired

log = logging.getLogger("rota.supervisor")

INTERNAL_ERROR = 70
"""Exit code of a daemon that found itself broken (EX_SOFTWARE)."""

PASSING = 1 << 30
"""Ids from here on are those of successors and of copies that leave; no person sees one."""


class Performer(Protocol):
    """Turns effects into facts; answers with events, through `Supervisor.handle`."""

    def note(self, entry: Entry, effect: Announce) -> None:
        """Remember the news with the row that is about to be written."""
        ...

    def perform(self, entry: Entry, effect: Effect) -> None: ...

    def release(self, entry: Entry) -> None:
        """The process and its tree are gone: let go of everything that hung on them."""
        ...


class Supervisor:
    """Instances by id, and the only way to change them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.entries: dict[int, Entry] = {}
        self.passing: dict[int, Entry] = {}
        """Successors and copies that leave, while a reload is under way; no list shows them."""
        self.performer: Performer
        self._ledger = ledger
        self._clock = clock
        self._queue: deque[tuple[int, Event]] = deque()
        self._busy = False
        self._next_id = 0
        self.reserved: set[int] = set()
        """Ids not to be given: processes of a lost ledger carry them."""
        self.leaving = False
        """Set when the daemon ends: what runs is suspended, and nothing is started any more."""
        self.by_name: dict[str, dict[int, Entry]] = {}
        self.changes = 0
        """How often instances appeared, went or got another specification: what is chosen by those holds until it moves."""
        self.app_changed: Callable[[str], None] = lambda name: None
        """Told when instances of an app appear, go, or get another specification."""
        self.app_renamed: Callable[[str, str], None] = lambda former, name: None
        """Told when the last instance of an app has got another name."""
        self.became_idle: Callable[[Entry], None] = lambda entry: None
        """Told when nothing of an instance runs any more: down, failed or waiting for its next try."""

    # --- instances -------------------------------------------------------------------------------------------------

    def adopt(self, instance: Instance, spec: AppSpec) -> Entry:
        """Take in a row of the ledger."""
        if instance.stands_for is not None:
            entry = self.passing[instance.id] = Entry(instance, spec)
            return entry
        entry = self.entries[instance.id] = Entry(instance, spec)
        self._next_id = max(self._next_id, instance.id + 1)
        self.by_name.setdefault(spec.name, {})[instance.id] = entry
        self.changes += 1
        self.app_changed(spec.name)
        return entry

    def find(self, id: int) -> Entry | None:
        """An instance, a successor, or a copy that leaves."""
        return self.entries.get(id) or self.passing.get(id)

    def everybody(self) -> list[Entry]:
        """All of them, those that only pass included."""
        return [*self.entries.values(), *self.passing.values()]

    def passing_for(self, id: int) -> list[Entry]:
        """Successors of an instance, and copies of it that leave."""
        return [entry for entry in self.passing.values() if entry.instance.stands_for == id]

    def successor(self, old: Entry, spec: AppSpec) -> Entry:
        """A second copy of an instance, which takes its place by `promote`, or is forgotten."""
        former = old.instance
        id = max(self.passing, default=PASSING - 1) + 1
        while any(entry.instance.mark == id for entry in self.entries.values()):
            id += 1
        instance = replace(
            former, id=id, stands_for=former.id, desired="down", actual=Down(), last_exit=None, mark=None, unstable=0
        )
        entry = self.passing[id] = Entry(instance, spec)
        self._ledger.save_many([(instance, spec)])
        return entry

    def promote(self, new: Entry, spec: AppSpec, leaver_spec: AppSpec) -> Entry:
        """The successor becomes the instance and the other one leaves, in one write. Returns the one that leaves."""
        id, passing_id = new.instance.stands_for, new.id
        assert id is not None
        old = self.entries[id]
        theirs, ours = old.instance, new.instance
        new.instance = replace(
            theirs,
            **{name: getattr(ours, name) for name in ("actual", "gen", "started", "desired")},
            restarts=theirs.restarts + 1, unstable=0, delay=0.0, mark=mark_of(ours), restart_reason=ours.restart_reason,
        )  # fmt: skip
        old.instance = replace(theirs, id=passing_id, stands_for=id, leaving=True, mark=mark_of(theirs))
        new.spec, old.spec = spec, leaver_spec
        new.watching, new.run_log = old.watching, old.run_log
        both = [*new.waiters, *old.waiters]
        new.waiters, old.waiters = list(both), both
        self.entries[id], self.passing[passing_id] = new, old
        self.by_name.setdefault(spec.name, {})[id] = new
        self._ledger.save_many([(new.instance, spec), (old.instance, leaver_spec)])
        self.changes += 1
        self.app_changed(spec.name)
        return old

    def named(self, name: str) -> list[Entry]:
        """The instances of an app, by id."""
        return [entry for _, entry in sorted(self.by_name.get(name, {}).items())]

    def spec_of(self, name: str) -> AppSpec | None:
        """The specification of an app's first instance, for what holds of all of them."""
        return next((entry.spec for entry in self.by_name.get(name, {}).values()), None)

    def create(self, specs: Iterable[AppSpec], up: Callable[[AppSpec], bool] = lambda spec: False) -> list[Entry]:
        """New instances in one write, stopped; `up` says which of them are to run. One spec object per copy wanted."""
        created: list[Entry] = []
        if not self.entries:
            self._next_id = 0  # as in PM2: ids are not used again before the list is empty
        numbers: dict[str, Iterator[int]] = {}
        for spec in specs:
            if spec.name not in numbers:
                numbers[spec.name] = self._free_numbers(spec.name)
            while self._next_id in self.reserved:
                self._next_id += 1
            instance = Instance(
                id=self._next_id,
                app=spec.name,
                number=next(numbers[spec.name]),
                unique_id=str(uuid.uuid4()),
                created=self._clock.now(),
                desired="up" if spec.job is None and up(spec) else "down",
            )
            created.append(self.adopt(instance, spec))
        self._ledger.save_many([(entry.instance, entry.spec) for entry in created])
        return created

    def _free_numbers(self, name: str) -> Iterator[int]:
        """Numbers that no instance of the app has now, the smallest first."""
        taken = {entry.instance.number for entry in self.by_name.get(name, {}).values()}
        return (number for number in count() if number not in taken)

    def respec(self, entry: Entry, spec: AppSpec) -> None:
        """Give an instance a new specification; its process, if any, keeps running as it is."""
        former = entry.name
        if spec.name != former:
            self._unname(entry)
            self.by_name.setdefault(spec.name, {})[entry.id] = entry
        entry.spec = spec
        if former not in self.by_name:
            self.app_renamed(former, spec.name)
        self._ledger.save(entry.instance, spec)
        self.changes += 1
        self.app_changed(spec.name)

    def _unname(self, entry: Entry) -> None:
        of_that_name = self.by_name.get(entry.name, {})
        of_that_name.pop(entry.id, None)
        if not of_that_name:
            self.by_name.pop(entry.name, None)

    def reset(self, entry: Entry) -> None:
        """Counters back to zero."""
        entry.instance = replace(entry.instance, restarts=0, unstable=0, delay=0.0, created=self._clock.now())
        self._ledger.save(entry.instance, entry.spec)

    def intend(self, entries: Iterable[Entry], desired: Desired) -> None:
        """Write down what all of these are to be, before the first one is touched: when a daemon dies in between, the
        next one sees to the others."""
        fresh = [entry for entry in entries if entry.instance.desired != desired]
        for entry in fresh:
            entry.instance = replace(entry.instance, desired=desired)
        if fresh:
            self._ledger.save_many([(entry.instance, entry.spec) for entry in fresh])

    def correct(self, entry: Entry, instance: Instance) -> None:
        """Adoption found more than the ledger knew."""
        entry.instance = instance
        self._ledger.save(instance, entry.spec)

    def forget(self, entry: Entry) -> None:
        """Remove the row. Called by the performer of Forget."""
        self._ledger.delete(entry.id)
        if self.passing.pop(entry.id, None) is None:
            self.entries.pop(entry.id, None)
            self._unname(entry)
            self.changes += 1
            self.app_changed(entry.name)
        for waiter in list(entry.waiters):
            waiter.look(entry, gone=True)

    # --- change ----------------------------------------------------------------------------------------------------

    def want(self, ids: Iterable[int], want: Want, why: str = "", *, fresh: bool = True) -> None:
        """Ask for something; the answer is in the state, see `settled`.

        A daemon that is leaving starts nothing: whoever wants something up is told by the end of his connection.
        """
        if self.leaving and want in ("up", "restart"):
            return
        ids = list(ids)
        if want in ("down", "forget") and len(ids) > 1:
            self.intend((self.entries[id] for id in ids if id in self.entries), "down")
        if want == "forget":
            idle = {id for id in ids if (entry := self.entries.get(id)) is not None and is_idle(entry)}
            ids = [id for id in ids if id not in idle]
            with self._ledger.batch():  # they only go: nothing of them is touched
                self._want(idle, want, why, fresh)
        self._want(ids, want, why, fresh)

    def _want(self, ids: Iterable[int], want: Want, why: str, fresh: bool) -> None:
        for id in ids:
            for passing in self.passing_for(id) if self.passing and want != "up" else ():
                self.handle(passing.id, Wanted("forget", why))
            self.handle(id, Wanted(want, why, fresh))

    def handle(self, id: int, event: Event) -> None:
        """Take one event. Effects may cause further events at once; they are taken in order, none inside another."""
        self._queue.append((id, event))
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._take(*self._queue.popleft())
        finally:
            self._busy = False

    def _take(self, id: int, event: Event) -> None:
        entry = self.find(id)
        if entry is None:
            return
        before = entry.instance
        after, effects = step(entry.spec, before, event, self._clock.now())
        if after is not before:
            entry.instance = after
            for effect in effects:
                if isinstance(effect, Announce):
                    self.performer.note(entry, effect)
            self._ledger.save(after, entry.spec)
        for effect in effects:
            self._perform(entry, effect)
        if after.actual is not before.actual:
            self._settle(entry)

    def _perform(self, entry: Entry, effect: Effect) -> None:
        """A mistake of ours must not leave an instance between two states.

        One in a spawn fails that app, with the story in the log. One anywhere else ends the daemon: the keeper holds
        everything, and a new daemon compares what is wanted with what exists.
        """
        try:
            self.performer.perform(entry, effect)
        except Exception as error:
            log.exception("%s (%d): %s could not be performed", entry.name, entry.id, type(effect).__name__)
            if not isinstance(effect, Spawn):
                raise SystemExit(INTERNAL_ERROR) from error
            self._queue.append((entry.id, SpawnFailed(effect.gen, "internal error; rota.log has the story")))

    def _settle(self, entry: Entry) -> None:
        idle = isinstance(entry.instance.actual, Down | Failed | Backoff)
        if idle and entry.child is not None and process_of(entry.instance.actual) is None:
            self.performer.release(entry)
        if idle and entry.instance.stands_for is None:
            self.became_idle(entry)
        for waiter in list(entry.waiters):
            waiter.look(entry)

    # --- waiting for facts -----------------------------------------------------------------------------------------

    async def settled(
        self,
        ids: Iterable[int],
        done: Callable[[Entry], bool],
        progress: Callable[[set[int]], None] | None = None,
    ) -> None:
        """Return when `done` holds for every one of these instances, or they are forgotten."""
        pending = {id for id in ids if (entry := self.find(id)) is not None and not done(entry)}
        if not pending:
            return
        waiter = Waiter(done, pending, asyncio.get_running_loop().create_future(), progress)
        watched = [entry for id in pending if (entry := self.find(id)) is not None]
        for entry in watched:
            entry.waiters.append(waiter)
        try:
            await waiter.future
        finally:
            for entry in (*watched, *(self.find(id) for id in pending)):
                if entry is not None and waiter in entry.waiters:
                    entry.waiters.remove(waiter)


def has_started(entry: Entry) -> bool:
    """The start came out one way or the other: running, ready, failed, or already ended."""
    return not isinstance(entry.instance.actual, Starting)


def is_settled_up(entry: Entry) -> bool:
    """Ready, or it is clear that it will not be at once: failed, waiting for its next try, ended, or too late."""
    actual = entry.instance.actual
    return isinstance(actual, Ready | Failed | Backoff | Down) or is_late(entry)


def is_late(entry: Entry) -> bool:
    """Up, and not ready within the deadline of its probe."""
    return isinstance(entry.instance.actual, Up) and entry.instance.actual.late


def is_stuck(entry: Entry) -> bool:
    """It was to go and cannot be ended. For waits until instances are gone."""
    return isinstance(entry.instance.actual, Failed)


def is_idle(entry: Entry) -> bool:
    """Nothing of it runs."""
    return isinstance(entry.instance.actual, Down | Failed | Backoff)
