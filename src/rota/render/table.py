"""PM2's box tables: fixed columns, cells cut with `…`, any number of rows quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.text import BOLD_CYAN, PLAIN, fit, printable, width_of, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rota.render.text import Style

STEP = 250
"""Rows made in one go where a table is made in steps: a few milliseconds."""
PADDING = 2
"""One space on each side of a cell."""


class Column:
    """One column: its title, its cells from top to bottom, its width with padding, and a colour per cell or for all.

    `short` holds the cells to use instead where there is little room.
    """

    __slots__ = ("cells", "codes", "key", "right", "short", "title", "width")

    def __init__(
        self,
        title: str,
        cells: list[str],
        width: int = 0,
        codes: str | list[str] = "",
        *,
        key: str = "",
        right: bool = False,
        short: list[str] | None = None,
    ) -> None:
        self.title = title
        self.cells = cells
        self.codes = codes
        self.key = key or title
        self.right = right
        self.short = short
        self.width = width or self.natural()

    def extend(self, more: Column) -> None:
        """Further rows of the same column, below."""
        self.cells += more.cells
        if isinstance(self.codes, list) and isinstance(more.codes, list):
            self.codes += more.codes
        if self.short is not None and more.short is not None:
            self.short += more.short
        self.width = max(self.width, more.width)

    def natural(self) -> int:
        """The width that cuts nothing."""
        longest = max(map(len, self.cells), default=0)
        together = "".join(self.cells)
        if not (together.isascii() and together.isprintable()):
            longest = max(longest, *(width_of(printable(cell)) for cell in self.cells))
        return max(longest, width_of(self.title)) + PADDING


def total_width(columns: Sequence[Column]) -> int:
    """Columns of the terminal that a table takes: the cells and the lines between and around them."""
    return sum(column.width for column in columns) + len(columns) + 1


def box(columns: Sequence[Column], style: Style = PLAIN, *, head: bool = True) -> list[str]:
    """The lines of a table. Without rows: header and bottom border only, as PM2 draws it."""
    return [line for some in box_steps(columns, style, head=head) for line in some]


def box_steps(columns: Sequence[Column], style: Style = PLAIN, *, head: bool = True) -> Iterator[list[str]]:
    """The same, some rows at a time, for whoever has other things to do meanwhile."""
    rules = ["─" * column.width for column in columns]
    top, middle, bottom = (
        style(f"{left}{cross.join(rules)}{right}", "90") for left, cross, right in ("┌┬┐", "├┼┤", "└┴┘")
    )
    bar = style("│", "90")
    titles = [f" {style(fit(column.title, column.width - PADDING), BOLD_CYAN)} " for column in columns]
    count = len(columns[0].cells)
    title = [bar + bar.join(titles) + bar]
    yield [top, *(title if head else []), *([middle] if head and count else [])]
    for first in range(0, count, STEP):
        cells = zip(*(_painted(column, style, first) for column in columns), strict=True)
        yield [bar + bar.join(row) + bar for row in cells]
    yield [bottom]


def _painted(column: Column, style: Style, first: int) -> list[str]:
    """The next cells of a column, padded and coloured. Equal ones are made once: most columns hold few different ones."""
    width, right, codes = column.width - PADDING, column.right, column.codes
    cells = column.cells[first : first + STEP]
    if not style.colour or not codes:
        made = {cell: f" {fit(cell, width, right)} " for cell in set(cells)}
        return [made[cell] for cell in cells]
    if isinstance(codes, str):
        same = {cell: f" {style(fit(cell, width, right), codes)} " for cell in set(cells)}
        return [same[cell] for cell in cells]
    pairs = list(zip(cells, codes[first : first + STEP], strict=True))
    painted = {pair: f" {style(fit(pair[0], width, right), pair[1])} " for pair in set(pairs)}
    return [painted[pair] for pair in pairs]


def facts(pairs: Sequence[tuple[str, str]], width: int = 300, style: Style = PLAIN) -> list[str]:
    """A two-column table without a header: label and value. A value too long for `width` goes on in the next line."""
    room = width - Column("", [label for label, _ in pairs]).width - 3 - PADDING
    labels: list[str] = []
    values: list[str] = []
    for label, value in pairs:
        pieces = wrapped(value, max(room, 8))
        labels += [label, *[""] * (len(pieces) - 1)]
        values += pieces
    return box([Column("", labels, codes=BOLD_CYAN), Column("", values)], style, head=False)
