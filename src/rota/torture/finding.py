"""What a check is, what it finds, and how it says that a promise was broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.torture.scene import Scene


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was kept.

    Args:
        did: what was done and how often, in a few words.
        times: how often.
        lost: what was lost; the answer has to be "nothing".
        note: a figure worth telling, or what had to be simulated.
    """

    did: str
    times: int
    lost: str = "nothing"
    note: str = ""


class Broken(Exception):
    """A promise was broken.

    Args:
        what: what went wrong, with the figures.
        did: what had been done by then.
    """

    def __init__(self, what: str, did: str = "") -> None:
        super().__init__(what)
        self.what, self.did = what, did


class Unable(Exception):
    """This machine does not permit the check; the message says why. No promise is kept or broken by it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise.

    Args:
        name: for `--only`.
        promise: what rota promises, as a sentence.
        attempt: tries it; returns what was found.

    `attempt` raises Broken when the promise does not hold and Unable where it cannot be tried.
    """

    name: str
    promise: str
    attempt: Callable[[Scene], Finding]
