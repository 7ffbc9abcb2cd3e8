"""Reloads: one instance after the other is replaced by a copy that is ready, and leaves once its connections have ended.

Both copies have rows in the ledger while there are two, and the exchange is one write: a daemon that dies before it leaves
the old copy in charge (the new one is ended by the next daemon), one that dies after it the new one (the old one leaves).
What is still to be replaced is in the ledger too; the next daemon goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from rota.daemon.cluster.drain import drained, emptied
from rota.daemon.cluster.programs import Kind
from rota.daemon.cluster.sockets import catches
from rota.daemon.supervisor import is_stuck
from rota.errors import RotaError
from rota.process.rollout import Plan, came_out, failure, leaver_spec, order, successor_spec
from rota.process.spec import in_cluster
from rota.process.state import Ready, Starting, Stopping, Up, process_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from rota.daemon.entry import Entry
    from rota.daemon.perform import Effects
    from rota.daemon.world import World
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.cluster")

LINES = 20
"""Of a new copy's last output, in the message about its failure."""


class ReloadFailed(RotaError):
    """A new copy did not become ready; the old one stays."""


class Rollouts:
    """Carries reloads out. They go on when whoever asked for one goes away."""

    def __init__(self, world: World, effects: Effects) -> None:
        self._world, self._effects = world, effects
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, asyncio.Lock] = {}
        """One rollout of an app at a time; the next one waits."""

    def possible(self, entry: Entry, spec: AppSpec | None = None) -> bool:
        """Whether a second copy, of this specification, can run beside it: the listening sockets of both are rota's, and it
        is up."""
        clusters = in_cluster(entry.spec) and in_cluster(spec or entry.spec)
        return clusters and isinstance(entry.instance.actual, Ready | Up) and self._world.cluster.asks_us(entry)

    async def roll(
        self,
        specs: Mapping[int, AppSpec],
        parallel: int,
        after: Callable[[int], None],
        why: str = "reloaded by the user",
    ) -> None:
        """Replace instances of one app, `parallel` at a time; the specifications by id. Ends at the first failure.

        Raises:
            ReloadFailed: with the reason and the last lines of the copy that failed. What was replaced before stays so.
        """
        supervisor = self._world.supervisor
        entries = [supervisor.entries[id] for id in specs]
        ids = order([entry.instance for entry in entries])
        await asyncio.shield(self._start(self._in_turn(entries[0].name, ids, specs, parallel, after, why)))

    async def _in_turn(self, app: str, *rest: Any) -> None:
        async with self.turn(app):
            await self._roll(app, *rest)

    def turn(self, app: str) -> asyncio.Lock:
        """Held by whoever changes an app's processes while they serve: a reload, and what changes their number."""
        return self._turns.setdefault(app, asyncio.Lock())

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._world.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _roll(
        self,
        app: str,
        ids: Sequence[int],
        specs: Mapping[int, AppSpec],
        parallel: int,
        after: Callable[[int], None],
        why: str,
    ) -> None:
        plan = Plan(tuple(ids), specs[ids[0]], why)
        waiting = list(ids)
        failed: list[RotaError] = []
        self._note(app, plan)

        async def one_after_the_other() -> None:
            nonlocal plan
            while waiting and not failed:
                id = waiting.pop(0)
                try:
                    await self._replace(id, specs[id], why)
                except RotaError as error:
                    failed.append(error)
                    return
                plan = plan.without(id)
                self._note(app, plan)
                after(id)

        try:
            await asyncio.gather(*(one_after_the_other() for _ in range(max(1, min(parallel, len(ids))))))
        finally:
            if not self._world.supervisor.leaving:
                self._note(app, None)
        if failed:
            raise failed[0]
        self._world.cluster.look_for_abandoned(app)

    async def _replace(self, id: int, spec: AppSpec, why: str) -> None:
        supervisor, cluster = self._world.supervisor, self._world.cluster
        old = supervisor.entries.get(id)
        if old is None or not _is_wanted(old):
            return  # somebody stopped it meanwhile, and the last word counts
        must_listen = cluster.listens(old)
        new = supervisor.successor(old, successor_spec(spec))
        supervisor.want([new.id], "up", why)
        await supervisor.settled([new.id], lambda entry: came_out(entry.instance))
        reason = failure(new.instance.actual, spec, must_listen=must_listen)
        if isinstance(new.instance.actual, Up) and new.told.status:
            reason += f" ({new.told.status})"
        there = supervisor.entries.get(id) is old
        if not there or not _is_wanted(old):
            await self._end(new)
            raise ReloadFailed(
                f"[{old.name}]({id}) was {'stopped' if there else 'deleted'} meanwhile", "start it again"
            )
        if reason or supervisor.find(new.id) is not new:
            await self._end(new)
            raise self._failed(old, new, reason)
        leaver = supervisor.promote(new, spec, self._leaving_spec(old))
        self._effects.exchanged(new, leaver)
        cluster.steer(spec.name)
        log.info("App [%s:%d] reload: the new copy has taken over", spec.name, id)
        await self._leave(leaver)

    async def _end(self, new: Entry) -> None:
        supervisor = self._world.supervisor
        supervisor.want([new.id], "forget", "it did not become ready")
        await supervisor.settled([new.id], is_stuck)
        await asyncio.sleep(0)  # its last output is fetched in the turn after its end

    def _failed(self, old: Entry, new: Entry, reason: str) -> ReloadFailed:
        lines = b"".join(new.last_words).decode("utf-8", "replace").splitlines()
        said = "".join(f"\n  | {line}" for line in lines[-LINES:])
        label = f"[{old.name}]({old.id})"
        return ReloadFailed(f"{label} the new copy {reason}; the old one stays{said}", "correct it and reload again")

    def _leaving_spec(self, old: Entry) -> AppSpec:
        process, member = process_of(old.instance.actual), self._world.cluster.members.get(old)
        term = process is not None and catches(process.pid, signal.SIGTERM)
        return leaver_spec(old.spec, catches_term=term, node=member is not None and member.kind is Kind.NODE)

    async def _leave(self, leaver: Entry) -> None:
        cluster, heir = self._world.cluster, self._world.supervisor.entries.get(leaver.instance.stands_for or 0)
        if heir is not None and cluster.slot(heir) != cluster.slot(leaver):
            await emptied(self._world, leaver)
        await drained(self._world, leaver)
        self._world.supervisor.want([leaver.id], "forget", "replaced by a reload")
        await self._world.supervisor.settled([leaver.id], is_stuck)

    async def relieve(self, ending: Sequence[Entry]) -> None:
        """Before some instances of an app are ended while others stay: those others get the new connections, and what these
        have comes to its end."""
        ids = {entry.id for entry in ending}
        left = {
            entry.name
            for entry in self._world.supervisor.entries.values()
            if entry.id not in ids and isinstance(entry.instance.actual, Ready)
        }
        members = self._world.clusters.room().members
        await asyncio.gather(*(self._relieve(entry) for entry in ending if entry in members and entry.name in left))

    async def _relieve(self, entry: Entry) -> None:
        await emptied(self._world, entry)
        await drained(self._world, entry)

    async def clear(self, leaving: Sequence[Entry]) -> None:
        """Before instances are ended for good: no new connection goes to them, and those they have come to their end."""
        members = [entry for entry in leaving if entry in self._world.cluster.members]
        await asyncio.gather(*(self._clear(entry) for entry in members))

    async def _clear(self, entry: Entry) -> None:
        await emptied(self._world, entry)
        spec = self._leaving_spec(entry)
        await drained(self._world, entry)
        if process_of(entry.instance.actual) is not None:
            self._world.supervisor.respec(entry, spec)

    # --- across daemons ---

    def _note(self, app: str, plan: Plan | None) -> None:
        text = msgspec.json.encode(plan).decode() if plan is not None and plan.ids else ""
        self._world.ledger.set_setting(_key(app), text)

    def before_adoption(self) -> None:
        """A copy whose start was cut short is not started again."""
        supervisor = self._world.supervisor
        for entry in supervisor.passing.values():
            actual = entry.instance.actual
            if isinstance(actual, Starting | Stopping):
                supervisor.correct(entry, replace(entry.instance, actual=replace(actual, then="forget")))

    def after_adoption(self) -> None:
        """Finish or undo what a former daemon left half-done."""
        supervisor = self._world.supervisor
        self._world.cluster.orphaned()
        for entry in list(supervisor.passing.values()):
            if entry.instance.leaving:
                self._start(self._leave(entry))
            else:
                log.warning("App [%s] a reload was interrupted: ending its new copy, the old one is there", entry.name)
                supervisor.want([entry.id], "forget", "the reload was interrupted")
        for app in {entry.name for entry in supervisor.entries.values()}:
            text = self._world.ledger.setting(_key(app))
            if text and (plan := _plan(app, text)) is not None:
                self._start(self._go_on(app, plan))

    async def _go_on(self, app: str, plan: Plan) -> None:
        async with self.turn(app):
            await self._go_on_in_turn(app, plan)

    async def _go_on_in_turn(self, app: str, plan: Plan) -> None:
        supervisor = self._world.supervisor
        await supervisor.settled([entry.id for entry in supervisor.passing.values() if entry.name == app], is_stuck)
        entries = [entry for id in plan.ids if (entry := supervisor.entries.get(id)) is not None and entry.name == app]
        ids = [entry.id for entry in entries if self.possible(entry, plan.spec)]
        for entry in entries:
            if entry.id not in ids and entry.instance.desired == "up":
                supervisor.respec(entry, plan.spec)  # rota was shut down in between: it comes back as the others are
        if not ids:
            self._note(app, None)
            return
        log.warning("App [%s] going on with a reload that was interrupted: %d instances", app, len(ids))
        try:
            await self._roll(app, ids, dict.fromkeys(ids, plan.spec), 1, lambda id: None, plan.why)
        except RotaError as error:
            log.error("App [%s] reload: %s", app, error.message)


def _is_wanted(entry: Entry) -> bool:
    return entry.instance.desired == "up"


def _plan(app: str, text: str) -> Plan | None:
    try:
        return msgspec.json.decode(text, type=Plan)
    except msgspec.DecodeError as error:  # of another version, whose specifications read differently
        log.error("App [%s] the rest of an interrupted reload cannot be read (%s): reload it again", app, error)
        return None


def _key(app: str) -> str:
    return f"rollout.{app}"
