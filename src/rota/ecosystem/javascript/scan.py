"""A scanner for JavaScript's surface: finds words and punctuation, and skips strings, comments, templates and regular
expressions. It knows no grammar beyond what telling a division from a regular expression needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = re.compile(r"[A-Za-z_$\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*")
_NUMBER = re.compile(r"\.?\d[\w.]*")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.|\\\n)*'|\"(?:[^\"\\\n]|\\.|\\\n)*\"")
_REGEX = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(r"\s+")
# After these words an expression begins, so a slash opens a regular expression.
_BEFORE_EXPRESSION = frozenset(
    [
        "return",
        "typeof",
        "case",
        "do",
        "else",
        "in",
        "of",
        "new",
        "delete",
        "void",
        "instanceof",
        "throw",
        "await",
        "yield",
        "default",
    ]
)


class Token(NamedTuple):
    """`kind` is word, punct, string, or other (number, template, regular expression). `depth` counts open brackets."""

    kind: str
    text: str
    start: int
    end: int
    depth: int


def tokens(source: str) -> Iterator[Token]:
    """The tokens of a program, without blanks and comments."""
    position, depth = 0, 0
    previous = Token("punct", ";", 0, 0, 0)
    while position < len(source):
        if match := (_SPACE.match(source, position) or _COMMENT.match(source, position)):
            position = match.end()
            continue
        kind, end = _next(source, position, previous)
        text = source[position:end]
        if text in ("}", ")", "]"):
            depth -= 1
        previous = Token(kind, text, position, end, depth)
        if text in ("{", "(", "["):
            depth += 1
        yield previous
        position = end


def _next(source: str, position: int, previous: Token) -> tuple[str, int]:
    char = source[position]
    if char == "`":
        return "other", _past_template(source, position + 1)
    if match := _STRING.match(source, position):
        return "string", match.end()
    if match := _WORD.match(source, position):
        return "word", match.end()
    if match := _NUMBER.match(source, position):
        return "other", match.end()
    if char == "/" and _opens_expression(previous) and (match := _REGEX.match(source, position)):
        return "other", match.end()
    return "punct", position + 1


def _opens_expression(previous: Token) -> bool:
    if previous.kind == "word":
        return previous.text in _BEFORE_EXPRESSION
    return previous.kind == "punct" and previous.text not in (")", "]", "}")


def _past_template(source: str, position: int) -> int:
    """The end of a template whose backquote was just read; `${…}` may hold anything, templates included."""
    while position < len(source):
        char = source[position]
        if char == "`":
            return position + 1
        if char == "\\":
            position += 2
        elif source.startswith("${", position):
            position = _past_substitution(source, position + 2)
        else:
            position += 1
    return len(source)


def _past_substitution(source: str, position: int) -> int:
    """The end of the `}` that ends a substitution: the first that closes what was opened outside of it."""
    for token in tokens(source[position:]):
        if token.depth < 0 and token.text == "}" and token.kind == "punct":
            return position + token.end
    return len(source)
