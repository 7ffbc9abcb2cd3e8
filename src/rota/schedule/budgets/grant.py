"""What `Budget.take` and `Budget.reserve` return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.stores.records import Ticket

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import Any

    from rota.schedule.budgets.budget import Budget


class Grant:
    """Tokens taken. In a plain thread they are there when `take` returns; on an event loop, `await` it.

    `with budget.take(2):` (or `async with`) counts them until the end of the block: however long a request is on its way, the
    server never sees more than the limit in any period.

    `waited` is how long it took, in seconds.
    """

    __slots__ = ("_at", "_budget", "_cost", "_pending", "waited")

    def __init__(
        self,
        budget: Budget,
        cost: float,
        at: float = 0.0,
        waited: float = 0.0,
        pending: Coroutine[Any, Any, Grant] | None = None,
    ) -> None:
        self._budget, self._cost, self._at = budget, cost, at
        self._pending = pending
        self.waited = waited

    def __await__(self) -> Generator[Any, None, Grant]:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            granted = yield from pending.__await__()
            self._at, self.waited = granted._at, granted.waited
        return self

    def give_back(self) -> bool:
        """Return the tokens: they were not used after all. False when that was done before."""
        if not self:
            return False
        cost, self._cost = self._cost, 0.0
        if cost:
            self._budget.unreserve(Ticket(0, 0.0, self._at), cost)
        return cost > 0

    def __enter__(self) -> Grant:
        if self._pending is not None:
            raise TypeError("on an event loop it is `async with budget.take(...)`")
        return self

    def __exit__(self, *_: object) -> None:
        self.used()

    async def __aenter__(self) -> Grant:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self._budget.off_loop(self.used)

    def used(self) -> None:
        """The tokens were in use until now: they come back `per` from now, not from when they were taken."""
        if self._cost:
            self._at = self._budget.restamp(self._cost, self._at)

    def __bool__(self) -> bool:
        if self._pending is not None:
            raise TypeError("on an event loop a budget is awaited: await budget.take(...)")
        return True

    def __repr__(self) -> str:
        return f"Grant(waited={self.waited!r})" if self._pending is None else "Grant(not awaited yet)"


class Reservation:
    """Tokens that are ours from `wait` seconds after the call on. `cancel()` gives them back."""

    __slots__ = ("_budget", "_cost", "_ticket", "wait")

    def __init__(self, budget: Budget, ticket: Ticket, cost: float) -> None:
        self._budget, self._cost = budget, cost
        self._ticket: Ticket | None = ticket
        self.wait = ticket.wait

    def cancel(self) -> bool:
        """Give the tokens back. False when that was done before."""
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return False
        self._budget.unreserve(ticket, self._cost)
        return True

    def __repr__(self) -> str:
        return f"Reservation(wait={self.wait!r})"
