"""The summary as SVG: a small chart a figure, side by side, one bar a tool."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from summary import Row

COLOURS = {"raw": "#c3c9d2", "rota": "#167d50", "PM2": "#7a86a8", "supervisord": "#97a1bd", "circus": "#b3bacf"}
COLUMNS, PANEL, GAP, EDGE = 3, 300, 28, 20
BAR, LABEL, VALUE = 17, 78, 58
TITLE, HEAD = 34, 58
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#2b2f36}"
    ".h{font-size:17px;font-weight:600}.t{font-weight:600}.m{fill:#6a7280;font-size:11px}.r{font-weight:600}"
)


def picture(rows: list[Row], tools: tuple[str, ...], subtitle: str) -> str:
    """Panels in three columns, each with its own scale; where a tool has no value there is none."""
    panels = [row for row in rows if row.pictured and row.values]
    tall = TITLE + len(tools) * BAR + GAP
    width = 2 * EDGE + COLUMNS * PANEL + (COLUMNS - 1) * GAP
    height = HEAD + tall * -(-len(panels) // COLUMNS) + EDGE
    parts = [
        _text(EDGE, 28, "rota beside its peers", "h"),
        _text(EDGE, 46, f"{subtitle} · medians, each chart on its own scale", "m"),
    ]
    for number, row in enumerate(panels):
        x = EDGE + number % COLUMNS * (PANEL + GAP)
        parts += _panel(row, tools, x, HEAD + number // COLUMNS * tall)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" rx="8" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _panel(row: Row, tools: tuple[str, ...], x: int, y: int) -> list[str]:
    better = "less is better" if row.less_is_better else "more is better"
    told = f"{better}{f'; target: {row.target}' if row.target else ''}"
    parts = [_text(x, y + 12, row.name, "t"), _text(x, y + 26, told, "m")]
    longest = max(row.median(tool) or 0.0 for tool in tools) or 1.0
    for place, tool in enumerate(tools):
        top = y + TITLE + place * BAR
        value = row.median(tool)
        kind = "r" if tool == "rota" else "m" if tool == "raw" else ""
        parts.append(_text(x + LABEL - 8, top + 12, tool, kind, "end"))
        if value is None:
            parts.append(_text(x + LABEL, top + 12, row.absent.get(tool, "–"), "m"))
            continue
        length = max(1.5, value / longest * (PANEL - LABEL - VALUE))
        colour = COLOURS.get(tool, "#999999")
        parts.append(
            f'<rect x="{x + LABEL}" y="{top + 2}" width="{length:.1f}" height="{BAR - 4}" rx="2" fill="{colour}"/>'
        )
        parts.append(_text(round(x + LABEL + length + 5), top + 12, number(value), kind))
    return parts


def number(value: float) -> str:
    """Three digits that matter, never an exponent."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x}" y="{y}"{named}{where}>{escape(text)}</text>'
