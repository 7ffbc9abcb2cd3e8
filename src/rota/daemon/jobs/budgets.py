"""Shared budgets as the daemon sees them: their terms, from the files that were started, and taking tokens before a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from rota.errors import SpecError, StoreUnavailable
from rota.suggest import did_you_mean
from rota.timing.meter import BudgetRule
from rota.wire.messages import BudgetTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.daemon.jobs.activity import Active
    from rota.daemon.world import World
    from rota.stores.sqlite import SqliteStore

LIFE = 60.0
"""A waiter that has not asked for so long, seconds, is passed over: its process died."""
SETTING = "budgets"


class Budgets:
    """Terms by name; kept in the ledger's settings, so that a new daemon knows them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules: dict[str, BudgetRule] = {}
        self.terms: dict[str, BudgetTerms] = {}
        """As the files said them, by name."""
        stored = world.ledger.setting(SETTING)
        if stored:
            self._learn(msgspec.json.decode(stored, type=dict[str, BudgetTerms]))

    def define(self, terms: Mapping[str, BudgetTerms]) -> None:
        """Take up what a file says; budgets of other files stay."""
        if terms:
            self._learn(terms)
            self._world.ledger.set_setting(SETTING, msgspec.json.encode(self.terms).decode())

    def _learn(self, terms: Mapping[str, BudgetTerms]) -> None:
        for name, given in terms.items():
            self.terms[name] = given
            self._rules[name] = BudgetRule(name, given.limit, given.per, given.burst or given.limit)

    def rule(self, name: str) -> BudgetRule:
        """The terms of a budget.

        Raises:
            SpecError: nobody defined it.
        """
        if name not in self._rules:
            hint = f"define [budgets.{name}] with limit and per in the file{did_you_mean(name, self._rules)}"
            raise SpecError(f"there is no budget {name}", hint, key="budget")
        return self._rules[name]

    async def take(self, store: SqliteStore, active: Active) -> None:
        """Wait until every budget of the job has served it, in the order of their names (so that two never wait crosswise).

        Raises:
            SpecError: a budget nobody defined, or that never holds so much.
        """
        rules = [(self.rule(name), cost) for name, cost in sorted(active.job.budget.items())]
        for rule, cost in rules:
            if cost > rule.burst:
                raise SpecError(
                    f"a run takes {cost:g} of the budget {rule.key}, which never holds more than {rule.burst:g}",
                    "raise its limit or its burst, or lower the cost",
                    key="budget",
                )
            await self._wait_for(store, rule, cost, f"run:{self._world.home_id}:{active.run}")

    async def _wait_for(self, store: SqliteStore, rule: BudgetRule, cost: float, holder: str) -> None:
        clock = self._world.clock
        now = clock.now()
        ticket = store.budget_join(rule, cost, holder, now, now + LIFE)
        try:
            while ticket.wait > 0:
                await clock.sleep(min(ticket.wait, LIFE / 3))
                now = clock.now()
                ticket = store.budget_poll(rule, ticket.id, cost, holder, now, now + LIFE)
        except BaseException:
            with contextlib.suppress(StoreUnavailable):
                store.budget_leave(rule.key, ticket.id)
            raise
