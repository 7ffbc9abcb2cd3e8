"""What the supervisor has to do after a step. Performed in order, after the new state is in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rota.process.events import TimerName


@dataclass(frozen=True, slots=True)
class Spawn:
    gen: int


@dataclass(frozen=True, slots=True)
class AskToStop:
    """Send the stop signal (or the shutdown message) of the spec."""

    gen: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to all that is left of the tree."""

    gen: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """The main process is gone: look for remnants, ask them to stop, and report TreeGone when none is left."""

    gen: int


@dataclass(frozen=True, slots=True)
class ArmTimer:
    timer: TimerName
    seconds: float
    gen: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    timer: TimerName


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell whoever listens; PM2's event words (start, online, exit, stop, restart, restart overlimit, delete)."""

    event: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove the instance: its row, its watchers; its logs stay."""


Effect: TypeAlias = Spawn | AskToStop | Kill | Sweep | ArmTimer | CancelTimer | Announce | Forget
