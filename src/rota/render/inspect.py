"""Values laid out as Node's util.inspect does (no depth limit, 80 columns, compact 3): what `prettylist`, `ping` and id
lists look like. Checked against node itself in tests/unit/render/test_inspect.py.
"""

from __future__ import annotations

from math import floor, inf, sqrt
from typing import TYPE_CHECKING, Any

from rota.render.text import width_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.process.record import Record

BREAK = 80
COMPACT = 3
"""How many levels of containers may stand on one line."""
MOST_ITEMS = 100
MOST_CHARACTERS = 10_000
_LINE_LEAST = 16
_GROUP_ABOVE = 6
_SAFE_INTEGER = 1 << 53

_SHORT_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 92: "\\\\"}
_ESCAPES = {code: f"\\x{code:02X}" for code in (*range(32), *range(127, 160))} | _SHORT_ESCAPES


def prettylist(records: Iterable[Record], show_env: bool = False) -> str:
    """`rota prettylist`: the records of jlist in this layout, without a final newline, as PM2 prints it."""
    from msgspec.json import decode

    from rota.render.jlist import jlist

    return inspect(decode(jlist(records, show_env)))


def inspect(value: Any) -> str:
    """Lay out a value made of dict, list, str, int, float, bool and None."""
    return _Layout().show(value, 0)


class _Layout:
    """One pass over a value. `indent` is the current indentation; `deepest` the level of the container laid out last,
    which decides, when its ancestors are finished, whether they still may go on one line."""

    __slots__ = ("deepest", "indent")

    def __init__(self) -> None:
        self.indent = 0
        self.deepest = 0

    def show(self, value: Any, depth: int) -> str:
        match value:
            case dict():
                return self.mapping(value, depth)
            case list() | tuple():
                return self.sequence(value, depth)
            case str():
                return self.string(value)
            case None:
                return "null"
            case bool():
                return "true" if value else "false"
            case _:
                return js_number(value)

    def mapping(self, value: dict[str, Any], depth: int) -> str:
        if not value:
            return "{}"
        self.deepest = depth
        self.indent += 2
        entries = [f"{_key(key)}: {self.show(value[key], depth + 1)}" for key in _js_order(value)]
        self.indent -= 2
        return self.joined(entries, "{", "}", depth)

    def sequence(self, value: list[Any] | tuple[Any, ...], depth: int) -> str:
        if not value:
            return "[]"
        self.deepest = depth
        self.indent += 2
        entries = [self.show(item, depth + 1) for item in value[:MOST_ITEMS]]
        self.indent -= 2
        left = len(value) - MOST_ITEMS
        if left > 0:
            entries.append(f"... {left} more item{'s' if left > 1 else ''}")
        if len(entries) > _GROUP_ABOVE:
            rows = self.grouped(entries, value)
            if rows is not entries:
                return self.lines(rows, "[", "]")
        return self.joined(entries, "[", "]", depth)

    def joined(self, entries: list[str], opened: str, closed: str, depth: int) -> str:
        """On one line when nothing below is too deep, too long or broken itself; else one entry per line."""
        if self.deepest - depth < COMPACT:
            spent = 2 * len(entries) + self.indent + 11
            if (
                spent + len(entries) <= BREAK
                and spent + sum(map(units, entries)) <= BREAK
                and not any("\n" in entry for entry in entries)
            ):
                return f"{opened} {', '.join(entries)} {closed}"
        return self.lines(entries, opened, closed)

    def lines(self, entries: list[str], opened: str, closed: str) -> str:
        margin = "\n" + " " * self.indent
        return f"{opened}{margin}  {f',{margin}  '.join(entries)}{margin}{closed}"

    def grouped(self, entries: list[str], value: list[Any] | tuple[Any, ...]) -> list[str]:
        """Many short entries as the rows of a grid, nearly square on a screen; the same list when that does not pay."""
        shown = entries[:-1] if len(entries) > MOST_ITEMS else entries
        widths = [width_of(entry) for entry in shown]
        total, longest = sum(widths) + 2 * len(widths), max(widths)
        cell = longest + 2
        if cell * 3 + self.indent >= BREAK or (total / cell <= 5 and longest > 6):
            return entries
        bias = max(cell - 3 - sqrt(cell - total / len(entries)), 1.0)
        square = floor(sqrt(2.5 * bias * len(shown)) / bias + 0.5)
        columns = min(square, (BREAK - self.indent) // cell, COMPACT * 4, 15)
        if columns <= 1:
            return entries
        numbers = all(map(_is_number, value[: len(entries)]))
        return _rows(shown, widths, columns, numbers) + entries[len(shown) :]

    def string(self, text: str) -> str:
        left = units(text) - MOST_CHARACTERS
        tail = ""
        if left > 0:
            text = _first_units(text, MOST_CHARACTERS)
            tail = f"... {left} more character{'s' if left > 1 else ''}"
        length = units(text)
        if length > _LINE_LEAST and length > BREAK - self.indent - 4 and "\n" in text:
            pieces = [quoted(piece) for piece in _after_newlines(text)]
            return f" +\n{' ' * (self.indent + 2)}".join(pieces) + tail
        return quoted(text) + tail


def _rows(entries: list[str], widths: list[int], columns: int, right: bool) -> list[str]:
    """Rows of a grid: cells followed by `, ` and padded to their column; a row's last cell is padded only on the left."""
    fields = [max(widths[column::columns]) for column in range(columns)]
    rows = []
    for start in range(0, len(entries), columns):
        cells = []
        last = min(start + columns, len(entries)) - 1
        for at in range(start, last + 1):
            padding = " " * (fields[at - start] - widths[at])
            comma = ", " if at < last else ""
            cells.append(
                f"{padding}{entries[at]}{comma}" if right else f"{entries[at]}{comma}{padding if comma else ''}"
            )
        rows.append("".join(cells))
    return rows


def quoted(text: str) -> str:
    """A string in JavaScript quotes: single, or double or backtick when that saves escaping."""
    if "'" not in text:
        quote = "'"
    elif '"' not in text:
        quote = '"'
    elif "`" not in text and "${" not in text:
        quote = "`"
    else:
        quote = "'"
    plain = text.isascii() and text.isprintable() and "\\" not in text
    inside = text if plain else "".join([_escaped(char) for char in text])
    return f"{quote}{inside}{quote}" if quote != "'" else "'" + inside.replace("'", "\\'") + "'"


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return _ESCAPES.get(code, char)


def js_number(value: float) -> str:
    """A number as JavaScript writes it: `5`, `-0`, `0.1`, `1e+21`, `1.5e-7`, `Infinity`."""
    if isinstance(value, int):
        if -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
            return str(value)
        try:
            value = float(value)
        except OverflowError:
            value = inf if value > 0 else -inf
    if value != value:
        return "NaN"
    sign = "-" if str(value).startswith("-") else ""
    if abs(value) == inf:
        return f"{sign}Infinity"
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    return sign + _placed(digits.rstrip("0"), point)


def _placed(digits: str, point: int) -> str:
    """Decimal digits with the point after the first `point` of them, by the rules of Number.prototype.toString."""
    if not digits:
        return "0"
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{digits[0]}.{digits[1:]}{power}" if len(digits) > 1 else f"{digits}{power}"


def units(text: str) -> int:
    """Length in UTF-16 units, which is what JavaScript counts."""
    if text.isascii():
        return len(text)
    return len(text) + sum(char > "\uffff" for char in text)


def _first_units(text: str, most: int) -> str:
    return text.encode("utf-16-le", "surrogatepass")[: 2 * most].decode("utf-16-le", "surrogatepass")


def _after_newlines(text: str) -> list[str]:
    """The pieces between newlines, each with its newline. str.splitlines would also break at characters that are none."""
    pieces = [f"{piece}\n" for piece in text.split("\n")]
    pieces[-1] = pieces[-1][:-1]
    return pieces if pieces[-1] else pieces[:-1]


def _key(key: str) -> str:
    if key == "__proto__":
        return "['__proto__']"
    return key if key.isascii() and key.isidentifier() else quoted(key)


def _js_order(value: dict[str, Any]) -> Iterable[str]:
    """JavaScript keeps keys that are array indexes first, in numeric order."""
    if not any(key[:1].isdigit() for key in value):
        return value
    indexes = sorted((key for key in value if _is_index(key)), key=int)
    return [*indexes, *(key for key in value if not _is_index(key))] if indexes else value


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and len(key) <= 10 and int(key) < 2**32 - 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
