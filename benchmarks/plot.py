"""Horizontal bars as SVG: one small chart a figure, the tools below each other, shorter is better unless it is a speed."""

from __future__ import annotations

import statistics
from html import escape

COLOURS = {"raw": "#b0b7c3", "rota": "#1f7a4d", "PM2": "#6b5bd2", "supervisord": "#c9822b", "circus": "#3b82c4"}
LINE, LEFT, WIDTH, RIGHT = 18, 110, 420, 90
Figures = dict[str, dict[str, dict[str, list[float]]]]


def bars(results: Figures) -> str:
    """One chart for each figure and size: `results[size][tool][figure]` are the measurements."""
    parts: list[str] = []
    y = 10
    for size, tools in results.items():
        for figure in dict.fromkeys(name for figures in tools.values() for name in figures):
            values = {tool: statistics.median(found[figure]) for tool, found in tools.items() if found.get(figure)}
            missing = [tool for tool in tools if tool not in values]
            chart, height = _chart(f"{figure}, {size} processes", values, missing, y)
            parts.append(chart)
            y += height
    whole = LEFT + WIDTH + RIGHT
    style = "text{font:12px sans-serif;fill:#222} .t{font-weight:bold}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{y}" viewBox="0 0 {whole} {y}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _chart(title: str, values: dict[str, float], missing: list[str], y: int) -> tuple[str, int]:
    longest = max(values.values(), default=0) or 1
    parts = [f'<text class="t" x="8" y="{y + 13}">{escape(title)}</text>']
    for number, (tool, value) in enumerate(values.items()):
        top = y + LINE * (number + 1)
        width = max(1.0, value / longest * WIDTH)
        colour = COLOURS.get(tool, "#888")
        parts.append(f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(tool)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{top + 3}" width="{width:.1f}" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{top + 13}">{value:.3g}</text>')
    for number, tool in enumerate(missing):
        top = y + LINE * (len(values) + number + 1)
        parts.append(f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(tool)}</text>')
        parts.append(f'<text x="{LEFT}" y="{top + 13}">–</text>')
    return "".join(parts), LINE * (len(values) + len(missing) + 1) + 14
