"""`rota plan --svg`: the same timeline as a picture for a document. No script, no font to load, readable when printed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rota.render.human import duration, instant, plural
from rota.render.plan_chart import grouped, shared_text, ticks
from rota.render.text import cut, printable

if TYPE_CHECKING:
    from datetime import tzinfo

    from rota.jobs.timeline import Row, Timeline

WIDTH = 1200
_LEFT, _RIGHT, _TOP, _ROW = 270, 124, 100, 34
_BAR = 16
_LEAST = 3.0
"""Pixels of the shortest run that can be seen."""
_LISTED = 6

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2933; }
.title { font-size: 20px; font-weight: 600; } .dim { fill: #7b8794; font-size: 12px; } .name { font-weight: 600; }
.day { font-weight: 600; } .grid { stroke: #e4e7eb; stroke-width: 1; } .midnight { stroke: #9aa5b1; stroke-width: 1.5; }
.lane { fill: #f5f7fa; } .run { fill: #2f80c2; } .guess { fill: #86b6dd; } .clash { fill: #e8a33d; } .budget { fill: #d64545; }
.band { fill: #e8a33d; opacity: 0.16; } .band.hot { fill: #d64545; opacity: 0.14; }
"""


def plan_svg(plan: Timeline, zone: tzinfo | None = None, zone_name: str = "") -> str:
    """The picture, as a whole SVG document.

    Args:
        plan: what is to be shown.
        zone: of the hours shown; None means the zone of this machine.
        zone_name: what to call it.
    """
    bottom = _TOP + _ROW * max(len(plan.rows), 1)
    notes = _notes(plan, zone)
    height = bottom + 46 + 22 * len(notes) + 12
    body = [
        *_head(plan, zone, zone_name),
        *(_lane(number) for number in range(0, len(plan.rows), 2)),
        *_grid(plan, bottom, zone),
        *_bands(plan, bottom),
    ]
    for number, row in enumerate(plan.rows):
        body += _row(row, plan, number)
    body += _legend(bottom)
    body += [_text(24, bottom + 64 + 22 * number, note) for number, note in enumerate(notes)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img"><title>{escape(_title(plan, zone))}</title><style>{_STYLE}</style>'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(body)}</svg>\n'
    )


def _x(plan: Timeline, at: float) -> float:
    room = WIDTH - _LEFT - _RIGHT
    share = (at - plan.since) / (plan.until - plan.since)
    return round(_LEFT + room * min(max(share, 0.0), 1.0), 1)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    extra = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{extra}>{escape(printable(text))}</text>'


def _title(plan: Timeline, zone: tzinfo | None) -> str:
    start, end = instant(plan.since, zone), instant(plan.until, zone)
    return f"Scheduled work, {start:%a} {start.day} {start:%b %H:%M} to {end:%a} {end.day} {end:%b %Y %H:%M}"


def _head(plan: Timeline, zone: tzinfo | None, zone_name: str) -> list[str]:
    runs = sum(len(row.spans) for row in plan.rows)
    facts = [plural(len(plan.rows), "job"), plural(runs, "run"), plural(len(plan.collisions), "collision")]
    under = " · ".join([*facts, *([f"times in {zone_name}"] if zone_name else [])])
    return [_text(24, 34, _title(plan, zone), "title"), _text(24, 56, under, "dim")]


def _lane(number: int) -> str:
    return f'<rect class="lane" x="12" y="{_TOP + _ROW * number}" width="{WIDTH - 24}" height="{_ROW}"/>'


def _grid(plan: Timeline, bottom: float, zone: tzinfo | None) -> list[str]:
    found = []
    for at in ticks(plan, 24, zone):
        there, x = instant(at, zone), _x(plan, at)
        midnight = there.hour == there.minute == 0
        found.append(
            f'<line class="{"midnight" if midnight else "grid"}" x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{bottom}"/>'
        )
        found.append(_text(x, _TOP - 12, f"{there:%H}" if there.minute == 0 else f"{there:%H:%M}", "dim", "middle"))
        if midnight:
            found.append(_text(x, _TOP - 28, f"{there:%a} {there.day}", "day", "middle"))
    return found


def _bands(plan: Timeline, bottom: float) -> list[str]:
    """Collisions run down the whole picture. Neighbours melt into one band."""
    bands: dict[tuple[float, bool], None] = {}
    for collision in plan.collisions:
        bands[_x(plan, collision.at), bool(collision.budgets)] = None
    return [
        f'<rect class="band{" hot" if hot else ""}" x="{x - 2.5:.1f}" y="{_TOP}" width="5" height="{bottom - _TOP}"/>'
        for x, hot in bands
    ]


def _row(row: Row, plan: Timeline, number: int) -> list[str]:
    top = _TOP + _ROW * number
    middle = top + _ROW / 2
    clashes = {int(c.at): row.name in c.sharing for c in plan.collisions if row.name in c.jobs}
    found = [
        _text(24, middle - 1, cut(row.name, 32), "name"),
        _text(24, middle + 13, cut(row.schedule, 38), "dim"),
    ]
    for span in row.spans:
        left = _x(plan, span.start)
        wide = max(round(_x(plan, span.end) - left, 1), _LEAST)
        clash = clashes.get(int(span.due // 60) * 60)
        kind = "run" if row.usual else "guess"
        if clash is not None:
            kind = "budget" if clash else "clash"
        there = f"{row.name}, {duration(span.end - span.start)}" if row.usual else row.name
        found.append(
            f'<rect class="{kind}" x="{left}" y="{middle - _BAR / 2}" width="{wide}" height="{_BAR}" rx="2">'
            f"<title>{escape(printable(there))}</title></rect>"
        )
    usual = f"~{duration(row.usual)}" if row.usual else "length unknown"
    late = f", {row.overlaps} overlap" if row.overlaps else ""
    found.append(_text(WIDTH - _RIGHT + 12, middle - 1, f"{len(row.spans)}×{late}"))
    found.append(_text(WIDTH - _RIGHT + 12, middle + 13, usual, "dim"))
    return found


def _legend(bottom: float) -> list[str]:
    entries = (
        ("run", "run, as long as usual"),
        ("guess", "run, length unknown"),
        ("clash", "starts in the same minute as another"),
        ("budget", "the same, on one budget"),
    )
    found, x = [], 24.0
    for kind, text in entries:
        found.append(f'<rect class="{kind}" x="{x}" y="{bottom + 18}" width="14" height="12" rx="2"/>')
        found.append(_text(x + 20, bottom + 29, text, "dim"))
        x += 42 + 6.4 * len(text)
    return found


def _notes(plan: Timeline, zone: tzinfo | None) -> list[str]:
    found = grouped(plan.collisions)
    notes = []
    for collision, number in found[:_LISTED]:
        there = instant(collision.at, zone)
        more = f" and {number - 1} more times" if number > 1 else ""
        shared = f" ({shared_text(collision)})" if collision.budgets else ""
        notes.append(cut(f"{there:%a %H:%M}{more}: {', '.join(collision.jobs)}{shared}", 150))
    if len(found) > _LISTED:
        notes.append(f"and {plural(len(found) - _LISTED, 'other set')} of jobs that start together")
    if plan.unplanned:
        notes.append(cut(f"Not planned by time: {', '.join(plan.unplanned)}", 150))
    return notes
