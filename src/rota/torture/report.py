"""What came of the checks, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.table import Column, box
from rota.render.text import GREEN, RED, YELLOW, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.render.text import Style
    from rota.torture.suite import Outcome

COLOURS = {"kept": GREEN, "BROKEN": RED, "not tried": YELLOW}
NARROWEST, WIDEST = 16, 64


def table(outcomes: Sequence[Outcome], width: int, style: Style) -> str:
    """Promise, what was done, what was lost, verdict, seconds; cells go on in the next line."""
    fixed = 9 + 2 + 5 + 2 + 6 + 6
    room = max(3 * NARROWEST, min(width, 200) - fixed)
    widths = [min(WIDEST, max(NARROWEST, room * share // 10)) for share in (3, 4, 3)]
    rows: list[tuple[str, str, str, str, str]] = []
    for outcome in outcomes:
        did = "; ".join(part for part in (outcome.did, outcome.note) if part)
        texts = (f"{outcome.name}: {outcome.promise}", did or "-", outcome.lost or "-")
        cells = [[piece.strip() for piece in wrapped(text, column)] for text, column in zip(texts, widths, strict=True)]
        for number in range(max(map(len, cells))):
            line = [cell[number] if number < len(cell) else "" for cell in cells]
            first = number == 0
            rows.append((*line, outcome.verdict if first else "", f"{outcome.seconds:.0f} s" if first else ""))  # type: ignore[arg-type]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    codes = [COLOURS.get(cell, "") for cell in columns[3]]
    return "\n".join(
        box(
            [
                Column("promise", list(columns[0])),
                Column("done", list(columns[1])),
                Column("lost", list(columns[2])),
                Column("verdict", list(columns[3]), codes=codes),
                Column("time", list(columns[4]), right=True),
            ],
            style,
        )
    )


def summary(outcomes: Sequence[Outcome], seed: int) -> str:
    """One sentence."""
    count = {verdict: sum(outcome.verdict == verdict for outcome in outcomes) for verdict in COLOURS}
    seconds = sum(outcome.seconds for outcome in outcomes)
    untried = f", {count['not tried']} could not be tried here" if count["not tried"] else ""
    return (
        f"{count['kept']} promises kept, {count['BROKEN']} broken{untried}, "
        f"in {int(seconds) // 60}:{int(seconds) % 60:02d} min (seed {seed})"
    )
