"""The store and the clock for whoever was not given one: the process's own, or those of a simulation."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from rota.clock import SystemClock
from rota.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota.clock import Clock
    from rota.stores.base import Store


@dataclass(slots=True)
class _Surroundings:
    clock: Clock
    store: Store | None = None
    jump: Callable[[float], None] | None = None


class Follower(Protocol):
    """Someone who keeps a store or a clock once found, and forgets them when the surroundings change."""

    def unbind(self) -> None:
        """Forget."""
        ...


_current = _Surroundings(SystemClock())
_followers: WeakSet[Follower] = WeakSet()


def tell(follower: Follower) -> None:
    """Tell this object when the surroundings change."""
    _followers.add(follower)


def clock() -> Clock:
    """The clock to use when none was given."""
    return _current.clock


def default_store() -> Store:
    """The store to use when none was given: see `rota.stores.opening.default_url`."""
    return _current.store or open_store()


def simulated_store() -> Store | None:
    """Set while a simulation runs: it replaces every store, so that a test never touches a real one."""
    return _current.store if _current.jump else None


def jump(seconds: float) -> None:
    """Simulated time passes for someone who blocks."""
    assert _current.jump is not None, "only a simulation's clock jumps"
    _current.jump(seconds)


@contextmanager
def simulation(store: Store, clock: Clock, jump: Callable[[float], None]) -> Iterator[None]:
    """Everything in this process uses this store and clock. For `rota.testing`; not for two threads at once."""
    global _current
    before, _current = _current, _Surroundings(clock, store, jump)
    _unbind_all()
    try:
        yield
    finally:
        _current = before
        _unbind_all()


def _unbind_all() -> None:
    for follower in list(_followers):
        follower.unbind()
