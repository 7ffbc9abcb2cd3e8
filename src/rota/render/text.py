"""Text on a terminal: colour, display width, cutting and padding. Nothing a program prints can steer the terminal."""

from __future__ import annotations

BOLD = "1"
DIM = "2"
INVERSE = "7"
RED = "31"
GREEN = "32"
YELLOW = "33"
BLUE = "34"
BOLD_CYAN = "1;36"

ELLIPSIS = "…"

_OURS = {ord("↺"): "x", ord(ELLIPSIS): "x"}
"""What our own tables write, one column each: known without the tables of Unicode, which take a megabyte."""


class Style:
    """Colour, or none. `style(text, RED)` is the text itself when colour is off."""

    __slots__ = ("colour",)

    def __init__(self, colour: bool = False) -> None:
        self.colour = colour

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


PLAIN = Style()


def printable(text: str) -> str:
    """The text with control characters shown as `\\x1b` and the like, so that a name or log line cannot move the cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or not _controls(char) else _escaped(char) for char in text)


def _controls(char: str) -> bool:
    from unicodedata import bidirectional, category

    # Zl and Zp end a line; surrogates cannot be written; bidirectional overrides reorder what stands beside them.
    return category(char) in ("Cc", "Cs", "Zl", "Zp") or bidirectional(char) in (
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "RLI",
        "LRI",
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def width_of(text: str) -> int:
    """Columns the text takes: two for East Asian wide characters, none for combining and format ones."""
    if text.isascii() or text.translate(_OURS).isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    total = 0
    for char in text:
        if category(char) in ("Mn", "Me", "Cf"):
            continue
        total += 2 if east_asian_width(char) in "WF" else 1
    return total


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, ended by `…` when something is missing."""
    if len(text) <= width and text.isascii():
        return text
    if width_of(text) <= width:
        return text
    if width < 1:
        return ""
    kept, room = [], width - 1
    for char in text:
        room -= width_of(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ELLIPSIS


def wrapped(text: str, width: int) -> list[str]:
    """The text in pieces of at most `width` columns, broken after a space where one is near, else anywhere: a path has no
    better place. Nothing is lost: the pieces together are the text."""
    if len(text) <= width and text.isascii():
        return [text]
    pieces = [""]
    used = 0
    for char in text:
        wide = width_of(char)
        if used + wide > width and pieces[-1]:
            head, space, tail = pieces[-1].rpartition(" ")
            if char == " " or len(head) < width // 2:
                head, space, tail = pieces[-1], "", ""
            pieces[-1:] = [head + space, tail]
            used = width_of(tail)
        pieces[-1] += char
        used += wide
    return pieces


def fit(text: str, width: int, right: bool = False) -> str:
    """The text made safe, cut or padded to exactly `width` columns."""
    if not text.isprintable():
        text = printable(text)
    if not text.isascii() or len(text) > width:
        text = cut(text, width)
        width += len(text) - width_of(text)
    return text.rjust(width) if right else text.ljust(width)
