"""`rota plan` on a terminal: a row per job, a column per span of time, collisions marked and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.human import clock_time, duration, instant, plural
from rota.render.text import BOLD_CYAN, DIM, GREEN, RED, YELLOW, Style, fit, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from rota.jobs.simulate import Span
    from rota.jobs.timeline import Collision, Row, Timeline

HOUR = 3600
_TICKS = (0.25, 0.5, 1, 2, 3, 4, 6, 12, 24, 48, 168)
_LEAST_TRACK = 24
_NARROW = 100
"""Below so many columns the schedule is left out."""
_LISTED = 12


def plan_chart(plan: Timeline, width: int = 120, colour: bool = False, zone: tzinfo | None = None) -> str:
    """The chart, without a final newline.

    Args:
        plan: what is to be shown.
        width: columns of the terminal.
        colour: whether to colour.
        zone: of the hours shown; None means the zone of this machine.
    """
    style = Style(colour)
    if not plan.rows:
        return "\n".join(["nothing is planned", *_unplanned(plan)])
    names = min(max(width_of(row.name) for row in plan.rows), max(width // 4, 8))
    schedules = 0 if width < _NARROW else min(max(width_of(row.schedule) for row in plan.rows), 28)
    notes = 14
    track = max(width - names - (schedules + 2 if schedules else 0) - notes - 4, _LEAST_TRACK)
    margin = " " * (names + 1 + (schedules + 2 if schedules else 0))
    lines = [margin + style(_axis(plan, track, zone), DIM)]
    marks = _marks(plan, track)
    grid = _grid(plan, track, zone)
    for row in plan.rows:
        label = style(fit(row.name, names), BOLD_CYAN)
        when = f"  {style(fit(row.schedule, schedules), DIM)}" if schedules else ""
        lines.append(f"{label}{when} {_track(row, plan, track, grid, style)} {_note(row)}".rstrip())
    if any(marks):
        lines.append(
            margin + "".join(style("▲", RED if mark > 1 else YELLOW) if mark else " " for mark in marks).rstrip()
        )
    return "\n".join([*lines, *_collisions(plan, width, style, zone), *_overlaps(plan, style), *_unplanned(plan)])


def _cell(plan: Timeline, track: int, at: float) -> int:
    return int((at - plan.since) * track / (plan.until - plan.since))


def tick_seconds(plan: Timeline, room: int) -> float:
    """Seconds between labelled hours, so that at most `room` labels stand beside each other."""
    hours = (plan.until - plan.since) / HOUR
    return next((tick for tick in _TICKS if hours / tick <= room), _TICKS[-1]) * HOUR


def ticks(plan: Timeline, room: int, zone: tzinfo | None) -> list[float]:
    """Instants to be labelled: round times of the wall."""
    tick = tick_seconds(plan, room)
    start = instant(plan.since, zone)
    midnight = plan.since - (start.hour * 3600 + start.minute * 60 + start.second + start.microsecond / 1e6)
    first = midnight + ((plan.since - midnight) // tick + 1) * tick
    found = []
    while first < plan.until:
        found.append(_rounded(first, tick, zone))
        first += tick
    return [at for at in found if plan.since <= at < plan.until]


def _rounded(at: float, tick: float, zone: tzinfo | None) -> float:
    """After a change of clocks the labels stay on round hours of the wall."""
    there = instant(at, zone)
    off = (there.hour * 3600 + there.minute * 60 + there.second) % tick if tick <= 86400 else 0.0
    return at - off if off < tick / 2 else at + tick - off


def _axis(plan: Timeline, track: int, zone: tzinfo | None) -> str:
    line = [" "] * track
    for at in ticks(plan, track // 7, zone):
        there = instant(at, zone)
        label = f"{there:%a}" if there.hour == there.minute == 0 else f"{there:%H:%M}"
        cell = _cell(plan, track, at)
        if cell + len(label) <= track and all(char == " " for char in line[max(cell - 1, 0) : cell + len(label)]):
            line[cell : cell + len(label)] = label
    return "".join(line).rstrip()


def _grid(plan: Timeline, track: int, zone: tzinfo | None) -> set[int]:
    return {_cell(plan, track, at) for at in ticks(plan, track // 7, zone)}


def _marks(plan: Timeline, track: int) -> list[int]:
    """By column: 0 nothing, 1 a collision, 2 one on the same budget."""
    marks = [0] * track
    for collision in plan.collisions:
        cell = min(max(_cell(plan, track, collision.at + 1), 0), track - 1)
        marks[cell] = max(marks[cell], 2 if collision.budgets else 1)
    return marks


def _track(row: Row, plan: Timeline, track: int, grid: set[int], style: Style) -> str:
    cells = ["┊" if number in grid else "·" for number in range(track)]
    starts = [0] * track
    for span in row.spans:
        first = min(max(_cell(plan, track, span.start), 0), track - 1)
        last = min(max(_cell(plan, track, span.end), first), track - 1)
        starts[first] += 1
        for number in range(first, last + 1):
            cells[number] = "█"
        if not row.usual or last == first:
            cells[first] = _short(span, plan, track)
    colliding = {
        _cell(plan, track, collision.at + 1): row.name in collision.sharing
        for collision in plan.collisions
        if row.name in collision.jobs
    }
    painted = []
    for number, char in enumerate(cells):
        shown = "▓" if starts[number] > 1 else char
        if char in "┊·":
            painted.append(style(char, DIM))
        else:
            painted.append(style(shown, (RED if colliding[number] else YELLOW) if number in colliding else GREEN))
    return "".join(painted)


def _short(span: Span, plan: Timeline, track: int) -> str:
    share = (span.end - span.start) * track / (plan.until - plan.since)
    return "▏" if share < 0.2 else "▌" if share < 0.7 else "█"


def _note(row: Row) -> str:
    runs = len(row.spans) + row.overlaps
    return f"{runs}×" + (f" ~{duration(row.usual)}" if row.usual else "")


def grouped(collisions: Sequence[Collision]) -> list[tuple[Collision, int]]:
    """Each set of jobs once: its first collision, and how often it comes. The worst first: shared budgets, then size."""
    groups: dict[frozenset[str], list[Collision]] = {}
    for collision in collisions:
        groups.setdefault(frozenset(collision.jobs), []).append(collision)
    found = [(group[0], len(group)) for group in groups.values()]
    return sorted(found, key=lambda pair: (not pair[0].budgets, -len(pair[0].jobs), pair[0].at))


def shared_text(collision: Collision) -> str:
    """Who takes from what."""
    return f"{' and '.join(collision.sharing)} share the budget {', '.join(collision.budgets)}"


def _collisions(plan: Timeline, width: int, style: Style, zone: tzinfo | None) -> list[str]:
    found = grouped(plan.collisions)
    if not found:
        return []
    lines = ["", style("▲ start in the same minute", YELLOW)]
    for collision, number in found[:_LISTED]:
        when = clock_time(collision.at, plan.since, zone)
        more = f" (and {number - 1} more times)" if number > 1 else ""
        shared = f" ({shared_text(collision)})" if collision.budgets else ""
        text = f"  {when}{more}: {', '.join(collision.jobs)}{shared}"
        lines.append(text if width_of(text) <= width else fit(text, width).rstrip())
    if len(found) > _LISTED:
        lines.append(f"  and {plural(len(found) - _LISTED, 'other set')} of jobs")
    return lines


def _overlaps(plan: Timeline, style: Style) -> list[str]:
    late = [row for row in plan.rows if row.overlaps]
    if not late:
        return []
    lines = ["", style("due while the run before is still going", RED)]
    return [
        *lines,
        *(f"  {row.name}: {plural(row.overlaps, 'time')}, it takes about {duration(row.usual)}" for row in late),
    ]


def _unplanned(plan: Timeline) -> list[str]:
    return ["", f"not planned by time: {', '.join(plan.unplanned)}"] if plan.unplanned else []
