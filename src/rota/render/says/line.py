"""A line for people with its level, and how it looks with its prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rota.render.text import CYAN, GREEN, PLAIN, RED, YELLOW

if TYPE_CHECKING:
    from rota.render.text import Style
    from rota.wire.messages import Level

PREFIX = "[rota] "
"""`[PM2] ` instead where ROTA_PM2_PREFIX=1 asks for it."""

_MARKS: dict[Level, str] = {"say": "", "info": "[INFO]", "warn": "[WARN]", "error": "[ERROR]"}
_CODES: dict[Level, str] = {"say": GREEN, "info": CYAN, "warn": YELLOW, "error": RED}


class Line(NamedTuple):
    """What to say, in the order `Answer.say` takes it. A function here that returns a plain str means a line that PM2
    prints without a prefix."""

    text: str
    level: Level = "say"


def marked(line: Line | str, prefix: str = PREFIX, style: Style = PLAIN) -> str:
    """The line as printed, without a newline: `[rota] …`, `[rota][WARN] …`; a plain str stays as it is."""
    if isinstance(line, str):
        return line
    mark = prefix.rstrip() + _MARKS[line.level]
    return f"{style(mark, _CODES[line.level])} {line.text}" if mark else line.text


def product(prefix: str = PREFIX) -> str:
    """The name that lines call the program by: what stands in the prefix's brackets, else rota."""
    return prefix.strip(" []") or "rota"
