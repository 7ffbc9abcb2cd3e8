"""One line that says how far a long action is, to be written over and over in the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.human import plural
from rota.render.text import cut, printable, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def progress_line(
    doing: str, total: int, left: Sequence[str], width: int = 80, *, still: str = "still up", noun: str = "app"
) -> str:
    """`stopping 40 apps: 31 done, still up: api-3, worker-7 (+7)`, in less than `width` columns.

    Args:
        doing: the action, as `stopping` or `starting`.
        total: how many there were at first.
        left: names of those not done, in the order to show them.
        width: columns of the terminal; the line leaves the last one free, so that it never wraps.
        still: what the names are, as `still up` or `not ready`.
        noun: what is counted.
    """
    start = f"{doing} {plural(total, noun)}: {total - len(left)} done"
    if not left:
        return cut(start, width - 1)
    room = width - 1 - width_of(start) - width_of(still) - 4
    names = [printable(name) for name in left]
    shown = 0
    used = 0
    for n, name in enumerate(names, 1):
        used += width_of(name) + (2 if n > 1 else 0)
        rest = f" (+{len(names) - n})" if n < len(names) else ""
        if used + len(rest) <= room:
            shown = n
        elif used > room:
            break
    if not shown:
        return cut(f"{start}, {len(left)} {still}", width - 1)
    more = f" (+{len(names) - shown})" if shown < len(names) else ""
    return f"{start}, {still}: {', '.join(names[:shown])}{more}"
