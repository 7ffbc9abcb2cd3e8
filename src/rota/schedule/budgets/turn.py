"""Waiting for one budget, step by step: for whoever cannot block, and under whoever can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.schedule.budgets.line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.timing.meter import BudgetRule


class Turn:
    """A wish for tokens. `step` until it returns 0; `leave` in any case: it undoes what is not served.

    `wake` may be called from any thread when another step is worth while earlier than said.
    """

    def __init__(self, line: Line, rule: BudgetRule, cost: float, wake: Callable[[], None]) -> None:
        self._line = line
        self._place = Place(rule, cost, wake)
        self._joined = False

    def step(self, now: float) -> float:
        """0.0 = the tokens are ours. Else seconds until the next step is due: infinite for those behind the first, who
        are woken, and when there can never be enough (see `hopeless`)."""
        place, line = self._place, self._line
        if not self._joined:
            served = line.join(place, now)
            self._joined = True  # not before: a store that failed may be asked again
            if served:
                return 0.0
        elif line.first(place) and line.ask(place, now):
            return 0.0
        return min(place.wait, line.longest_pause) if line.first(place) else float("inf")

    @property
    def hopeless(self) -> bool:
        """More is asked than the budget ever holds."""
        return self._place.wait == float("inf")

    @property
    def least(self) -> float:
        """Seconds to wait at least, as last heard."""
        return self._place.wait

    def leave(self) -> None:
        """Give up, unless served."""
        self._line.leave(self._place)
