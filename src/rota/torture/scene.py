"""What a check is handed: a scratch rota, chance, how much to do, and a way to say how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from rota.torture.scratch import Scratch

PACES = {"quick": 0.25, "normal": 1.0, "long": 50.0}
"""How much is done: some half a minute, two minutes, an hour."""


@dataclass(slots=True)
class Scene:
    """One check's surroundings.

    Args:
        scratch: a rota of its own, running.
        rng: chance, seeded.
        pace: factor on how often things are done.
        report: told how far the check is.
    """

    scratch: Scratch
    rng: random.Random
    pace: float = 1.0
    report: Callable[[str], None] = field(default=lambda _: None)

    def rounds(self, normal: int) -> int:
        """How often to do what is done `normal` times in two minutes; at least twice."""
        return max(2, round(normal * self.pace))

    def size(self, normal: int) -> int:
        """How many of something to have: fewer when quick, no more when long."""
        return max(2, round(normal * min(self.pace, 1.0)))

    def pause(self, longest: float) -> None:
        """A random pause up to `longest` seconds."""
        import time

        time.sleep(self.rng.random() * longest)
