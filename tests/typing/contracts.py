"""Never run, only type-checked: who signs a contract keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.clock import Clock, SystemClock
    from rota.daemon.keeperlink import KeeperLink
    from rota.daemon.perform import Effects
    from rota.daemon.procs.spawn import Deposit
    from rota.daemon.supervisor import Performer
    from rota.stores.base import Store
    from rota.stores.memory import MemoryStore
    from rota.stores.sqlite import SqliteStore
    from rota.timing.cron import Cron
    from rota.timing.interval import Every
    from rota.timing.trigger import Trigger


def a_clock(system: SystemClock) -> Clock:
    return system


def stores(memory: MemoryStore, sqlite: SqliteStore) -> tuple[Store, ...]:
    return memory, sqlite


def triggers(cron: Cron, interval: Every) -> tuple[Trigger, ...]:
    return cron, interval


def the_performer(effects: Effects) -> Performer:
    return effects


def a_deposit(keeper: KeeperLink) -> Deposit:
    return keeper.deposit
