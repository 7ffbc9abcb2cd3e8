"""How many instances an app should have: the decision. Carried out by rota.daemon.cluster.autoscale.

More at once when they are busy, fewer only after a long quiet time, one at a time, with a rest after each change; and the
number is lowered only where those that stay would still be well below the mark at which it is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rota.process.spec import AppSpec

UP_AFTER = 3
"""Samples in a row that must be above the mark."""
REST = 5.0
"""Seconds without a decision after a change: new instances must get up and take their share."""
ROOM = 0.8
"""Those that stay would have to be below this part of the mark."""


class Load(msgspec.Struct, frozen=True):
    """One sample of an app."""

    instances: int
    cpu: float
    """Percent of one core, mean over the instances."""
    waiting: int
    """Connections that nobody has accepted yet."""


class Course(msgspec.Struct, frozen=True):
    """What was seen so far."""

    high: int = 0
    """Samples above a mark, in a row."""
    quiet_since: float | None = None
    changed: float = float("-inf")


class Decision(msgspec.Struct, frozen=True):
    """`change` is how many instances more or fewer, 0 for as they are; `reason` for people."""

    course: Course
    change: int = 0
    reason: str = ""


def decide(spec: AppSpec, load: Load, course: Course, now: float) -> Decision:
    """The next step. `now` is in seconds by a clock that does not jump."""
    least, most = bounds(spec)
    if load.instances < least:
        return _changed(least - load.instances, f"fewer than min_instances ({least})", now)
    if load.instances > most:
        return _changed(most - load.instances, f"more than max_instances ({most})", now)
    if now - course.changed < REST:
        return Decision(Course(changed=course.changed))
    busy = _busy(spec, load)
    if busy:
        high = course.high + 1
        if high >= UP_AFTER and load.instances < most:
            return _changed(1, busy, now)
        return Decision(Course(high=high, changed=course.changed))
    if load.instances > least and _would_fit(spec, load):
        since = now if course.quiet_since is None else course.quiet_since
        if now - since >= spec.scale_down_after:
            return _changed(-1, f"{load.cpu:.0f} % CPU and nobody waiting for {spec.scale_down_after:g} s", now)
        return Decision(Course(quiet_since=since, changed=course.changed))
    return Decision(Course(changed=course.changed))


def bounds(spec: AppSpec) -> tuple[int, int]:
    """The fewest and the most instances."""
    least = max(1, spec.min_instances)
    return least, max(least, spec.max_instances)


def _busy(spec: AppSpec, load: Load) -> str:
    """Why there should be more, "" when there need not."""
    if load.cpu >= spec.scale_cpu:
        return f"{load.cpu:.0f} % CPU each, for {UP_AFTER} samples (scale_cpu {spec.scale_cpu:g})"
    if load.waiting >= spec.scale_queue:
        return f"{load.waiting} connections waiting, for {UP_AFTER} samples (scale_queue {spec.scale_queue})"
    return ""


def _would_fit(spec: AppSpec, load: Load) -> bool:
    return load.waiting == 0 and load.cpu * load.instances / (load.instances - 1) < spec.scale_cpu * ROOM


def _changed(change: int, reason: str, now: float) -> Decision:
    return Decision(Course(changed=now), change, reason)
