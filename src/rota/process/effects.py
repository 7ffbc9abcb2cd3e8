"""What the supervisor has to do after a step. Performed in order, after the new state is in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from rota.process.events import TimerName


class Spawn(msgspec.Struct, frozen=True):
    gen: int


class AskToStop(msgspec.Struct, frozen=True):
    """Send the stop signal (or the shutdown message) of the spec."""

    gen: int


class Kill(msgspec.Struct, frozen=True):
    """SIGKILL to all that is left of the tree."""

    gen: int


class Sweep(msgspec.Struct, frozen=True):
    """The main process is gone: look for remnants, ask them to stop, and report TreeGone when none is left."""

    gen: int


class ArmTimer(msgspec.Struct, frozen=True):
    timer: TimerName
    seconds: float
    gen: int


class CancelTimer(msgspec.Struct, frozen=True):
    timer: TimerName


class Announce(msgspec.Struct, frozen=True):
    """Tell whoever listens; PM2's event words (start, online, exit, stop, restart, restart overlimit, delete)."""

    event: str
    detail: str = ""


class Forget(msgspec.Struct, frozen=True):
    """Remove the instance: its row, its watchers; its logs stay."""


Effect: TypeAlias = Spawn | AskToStop | Kill | Sweep | ArmTimer | CancelTimer | Announce | Forget
