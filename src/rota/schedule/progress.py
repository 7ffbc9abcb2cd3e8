"""How far a run has come: rate, time left, and a bar for a terminal. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rota.timing.duration import format_duration


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's progress at an instant.

    Args:
        done: items confirmed.
        total: items in all; None when nobody knows.
        resumed_from: items an earlier run had confirmed; they do not count for the rate.
        elapsed: seconds since this run started.
    """

    done: int
    total: int | None = None
    resumed_from: int = 0
    elapsed: float = 0.0

    @property
    def rate(self) -> float | None:
        """Items per second of this run; None before the first."""
        new = self.done - self.resumed_from
        return new / self.elapsed if new > 0 and self.elapsed > 0 else None

    @property
    def eta(self) -> float | None:
        """Seconds left at this rate; None when that cannot be said."""
        if self.total is None or self.rate is None:
            return None
        return max(0, self.total - self.done) / self.rate

    def as_dict(self) -> dict[str, object]:
        """For JSON: done, total, rate (per second), eta_seconds."""
        rate, eta = self.rate, self.eta
        return {
            "done": self.done,
            "total": self.total,
            "rate": None if rate is None else round(rate, 3),
            "eta_seconds": None if eta is None else round(eta, 1),
        }

    def line(self, name: str, width: int = 79) -> str:
        """One line for a terminal: name, bar, counts, rate, time left; never wider than `width`."""
        counts = f"{self.done}/{self.total}" if self.total is not None else f"{self.done}"
        parts = [counts]
        if self.rate is not None:
            parts.append(f"{self.rate:.3g}/s")
        if self.eta is not None:
            parts.append(f"{format_duration(round(self.eta))} left")
        facts = "  ".join(parts)
        room = width - len(name) - len(facts) - 6
        if self.total and room >= 10:
            filled = min(room, round(room * self.done / self.total))
            return f"{name}  [{'#' * filled}{'.' * (room - filled)}]  {facts}"
        return f"{name}  {facts}"[:width]
