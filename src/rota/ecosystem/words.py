"""Splitting command lines: PM2's rule for `args`, the shell's for `run`, and how to tell that a line needs a shell."""

from __future__ import annotations

import re
import shlex

from rota.ecosystem.problems import Wrong

_OPERATORS = "|&;<>()`"
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_EXPANSION = re.compile(r"\$(?:[A-Za-z_{(0-9?#@*!$-])")


def split_args(text: str) -> tuple[str, ...]:
    """PM2's rule: split at blanks; a word wholly in quotes loses them; `key="a b"` stays one word and keeps them."""
    words = []
    position, end = 0, len(text)
    while position < end:
        if text[position].isspace():
            position += 1
            continue
        start = position
        while position < end and not text[position].isspace():
            position = _past(text, start, position)
        word = text[start:position]
        wrapped = len(word) > 1 and word[0] in "\"'" and word.find(word[0], 1) == len(word) - 1
        words.append(word[1:-1] if wrapped else word)
    return tuple(words)


def _past(text: str, start: int, position: int) -> int:
    """The position after this character, or after the quoted part that it opens at a word's begin or after `=`."""
    if text[position] in "\"'" and (position == start or text[position - 1] == "="):
        closing = text.find(text[position], position + 1)
        if closing != -1:
            return closing + 1
    return position + 1


def join_args(words: tuple[str, ...]) -> str:
    """A text that `split_args` splits into these words again. A word with both kinds of quotes and a blank has none."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if word and not any(char.isspace() or char in "\"'" for char in word):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'


def shell_syntax(line: str) -> str:
    """The first thing in a line that only a shell understands (an operator, `$NAME`, a leading `A=b`), "" when there is none."""
    if "\n" in line.strip():
        return "a line break"
    if match := _ASSIGNMENT.match(line.lstrip()):
        return match[0]
    quote = ""
    position = 0
    while position < len(line):
        char = line[position]
        if char == "\\" and quote != "'":
            position += 1
        elif quote:
            if quote == '"' and (char == "`" or (char == "$" and _EXPANSION.match(line, position))):
                return _sample(line, position)
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _OPERATORS or (char == "$" and _EXPANSION.match(line, position)):
            return _sample(line, position)
        position += 1
    return ""


def _sample(line: str, position: int) -> str:
    match = re.compile(r"\$\w+|\|\||&&|>>|<<|\$.|.").match(line, position)
    return match[0] if match else line[position]


def split_run(line: str) -> tuple[str, ...]:
    """The words of a `run` line that needs no shell. Raises Wrong, with what to do, when it needs one."""
    if found := shell_syntax(line):
        raise Wrong(
            f"uses shell syntax ({found}), and rota starts programs without a shell",
            "add shell = true, or quote it if it is meant literally",
        )
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise Wrong(f"cannot be split into words: {str(error).lower()}", "close the quote, or escape it") from None
    if not words:
        raise Wrong("is empty", 'write the command to run, as "python app.py --port 8000"')
    return words
