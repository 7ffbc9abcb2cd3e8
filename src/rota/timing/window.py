"""The window rule: never more than so many tokens in any stretch of `per` seconds, wherever it begins.

A token bucket alone allows up to twice that after a quiet time; a server that counts per window then answers 429. The
takes of the last period are kept, merged so that a budget of a million costs no more memory than one of fifteen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rota.timing import bucket

if TYPE_CHECKING:
    from rota.timing.bucket import Limit, State

Spent: TypeAlias = tuple[tuple[float, float], ...]
"""`(instant, tokens)`, oldest first: takes of the last period, and reservations to come."""

_GRAINS = 64
_SLACK = 1e-6


def earliest(limit: Limit, spent: Spent, n: float, now: float) -> float:
    """The first instant, from `now` and the latest take on, at which `n` more fit the window; `inf` if they never do."""
    if n > limit.limit:
        return float("inf")
    start = max(now, spent[-1][0]) if spent else now
    used = sum(tokens for instant, tokens in spent if instant + limit.per > start + _SLACK)
    for instant, tokens in spent:
        if used + n <= limit.limit + _SLACK:
            break
        if instant + limit.per > start + _SLACK:
            used -= tokens
            start = instant + limit.per
    return start


def note(limit: Limit, spent: Spent, n: float, at: float) -> Spent:
    """Add a take. Takes close together are merged at the later instant: that only ever makes the rule stricter, by at
    most 1/64 of the period."""
    kept = spent[_expired(spent, at - limit.per) :] if spent and spent[0][0] <= at - limit.per else spent
    # The grain is a place on the clock, not a distance from the last take: steady takes must not merge without end.
    grain = limit.per / _GRAINS
    if kept and at >= kept[-1][0] and at // grain == kept[-1][0] // grain:
        return (*kept[:-1], (at, kept[-1][1] + n))
    return (*kept, (at, n))


def _expired(spent: Spent, horizon: float) -> int:
    return next((index for index, (instant, _) in enumerate(spent) if instant > horizon), len(spent))


def unnote(spent: Spent, n: float, at: float) -> Spent:
    """Take back `n` tokens that were noted for `at` and not used. What has left the window is forgotten already."""
    index = next((i for i, (instant, _) in enumerate(spent) if instant >= at - _SLACK), None)
    if index is None:
        return spent
    instant, noted = spent[index]
    left = ((instant, noted - n),) if noted > n else ()
    return (*spent[:index], *left, *spent[index + 1 :])


def take(limit: Limit, state: State, spent: Spent, n: float, now: float) -> tuple[State, Spent, float]:
    """`bucket.take` under the window rule as well: new state and spent and 0.0, or both unchanged and the wait."""
    window_wait = earliest(limit, spent, n, now) - now
    taken, wait = bucket.take(limit, state, n, now)
    wait = max(wait, window_wait if window_wait > _SLACK else 0.0)
    if wait:
        return state, spent, wait
    return taken, note(limit, spent, n, now), 0.0


def reserve(limit: Limit, state: State, spent: Spent, n: float, now: float) -> tuple[State, Spent, float]:
    """`bucket.reserve` under the window rule as well: new state and spent, and the seconds to wait."""
    at = earliest(limit, spent, n, max(now, state[1]))
    if at == float("inf"):
        return state, spent, at
    reserved, wait = bucket.reserve(limit, state, n, at)
    if wait == float("inf"):
        return state, spent, wait
    due = at + wait
    return reserved, note(limit, spent, n, due), due - now if due - now > _SLACK else 0.0


def tokens(limit: Limit, state: State, spent: Spent, now: float) -> float:
    """How many could be taken at once right now."""
    used = sum(tokens for instant, tokens in spent if instant + limit.per > now + _SLACK)
    return max(0.0, min(bucket.tokens(limit, state, now), limit.limit - used))
