"""ES modules as functions: `import` and `export` at the top level become calls of what the prelude provides.

The embedded engine has a module loader of its own, but none that its Python binding can feed. Line numbers are kept, so that
errors point at the user's line. Names the result expects: `__import(id)`, `__exports`, `__meta`.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from rota.ecosystem.javascript.scan import Token, tokens

_DECLARATION = frozenset(["const", "let", "var", "function", "class", "async"])


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


class _Module:
    """One pass over a module's tokens, collecting edits and exports."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = list(tokens(source))
        self.edits: list[_Edit] = []
        self.exports: list[tuple[str, str]] = []
        self.hoisted: list[str] = []
        self.count = 0

    def found(self) -> bool:
        """Whether the source is a module; then the edits are complete."""
        seen, index = False, 0
        while index < len(self.tokens):
            token = self.tokens[index]
            if token.kind == "word" and token.text in ("import", "export") and not self._is_property(index):
                following = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
                if token.text == "import" and following is not None and following.text in ("(", "."):
                    seen |= self._inline(token, following)
                elif token.depth == 0:
                    seen = True
                    index = (self._import if token.text == "import" else self._export)(index)
                    continue
            index += 1
        return seen

    def _is_property(self, index: int) -> bool:
        before = self.tokens[index - 1].text if index else ""
        after = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
        return before == "." or after == ":"

    def _inline(self, token: Token, following: Token) -> bool:
        if following.text == "(":
            self.edits.append(_Edit(token.start, token.end, "__import"))
            return False
        match = re.compile(r"import\s*\.\s*meta\b").match(self.source, token.start)
        if match:
            self.edits.append(_Edit(match.start(), match.end(), "__meta"))
        return match is not None

    def _string_from(self, index: int) -> int:
        """The index of the next string at depth 0: a module's name."""
        while index < len(self.tokens) and self.tokens[index].kind != "string":
            index += 1
        return index

    def _end(self, index: int) -> int:
        """The end of a statement whose last token is at `index`, with import attributes and its semicolon."""
        following = index + 1
        if following < len(self.tokens) and self.tokens[following].text in ("with", "assert"):
            while following < len(self.tokens) and self.tokens[following].text != "}":
                following += 1
            following += 1
        if following < len(self.tokens) and self.tokens[following].text == ";":
            following += 1
        return following

    def _drop(self, first: int, after: int, text: str = "") -> int:
        start, end = self.tokens[first].start, self.tokens[after - 1].end
        lines = "\n" * self.source.count("\n", start, end)
        self.edits.append(_Edit(start, end, text + lines))
        return after

    def _require(self, name: Token) -> str:
        self.count += 1
        variable = f"__m{self.count}"
        self.hoisted.append(f"const {variable} = await __import({name.text});")
        return variable

    def _import(self, index: int) -> int:
        at = self._string_from(index + 1)
        if at >= len(self.tokens):
            return index + 1
        variable = self._require(self.tokens[at])
        clause = self.source[self.tokens[index].end : self.tokens[at].start].strip().removesuffix("from").strip()
        if clause:
            self.hoisted.append(_bindings(clause, variable))
        return self._drop(index, self._end(at))

    def _export(self, index: int) -> int:
        following = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
        if following is None:
            return index + 1
        if following.text == "default":
            return self._export_default(index)
        if following.text == "{":
            return self._export_list(index)
        if following.text == "*":
            at = self._string_from(index)
            variable = self._require(self.tokens[at])
            alias = self.tokens[index + 3].text if self.tokens[index + 2].text == "as" else ""
            if alias:
                self.exports.append((alias, variable))
            else:
                self.hoisted.append(f"__star(__exports, {variable});")
            return self._drop(index, self._end(at))
        if following.text in _DECLARATION:
            self.exports += [(name, name) for name in self._declared(index + 1)]
            return self._drop(index, index + 1)
        return index + 1

    def _export_default(self, index: int) -> int:
        rest = self.source[self.tokens[index + 1].end :]
        named = re.match(r"\s*(?:async\s+function|function|class)\s*\*?\s*([A-Za-z_$][\w$]*)", rest)
        if named and named[1] != "extends":
            self.exports.append(("default", named[1]))
            return self._drop(index, index + 2)
        self.exports.append(("default", "__default"))
        return self._drop(index, index + 2, "const __default =")

    def _export_list(self, index: int) -> int:
        close = index + 1
        while close < len(self.tokens) and self.tokens[close].text != "}":
            close += 1
        clause = self.source[self.tokens[index + 1].end : self.tokens[close].start]
        pairs = [_renamed(part) for part in clause.split(",") if part.strip()]
        origin = close + 1 < len(self.tokens) and self.tokens[close + 1].text == "from"
        if origin:
            variable = self._require(self.tokens[close + 2])
            self.exports += [(alias, f"{variable}[{json.dumps(name)}]") for name, alias in pairs]
            return self._drop(index, self._end(close + 2))
        self.exports += [(alias, name) for name, alias in pairs]
        return self._drop(index, self._end(close))

    def _declared(self, index: int) -> list[str]:
        """The names a declaration binds. Of a destructuring pattern: every plain name in it."""
        word = self.tokens[index].text
        if word in ("function", "class", "async"):
            while self.tokens[index].text in ("async", "function", "class", "*"):
                index += 1
            return [self.tokens[index].text]
        depth = self.tokens[index].depth
        names, expecting = [], True
        for position in range(index + 1, len(self.tokens)):
            token = self.tokens[position]
            if token.depth == depth and token.text == ";":
                break
            if token.depth == depth and expecting and token.kind == "word":
                names.append(token.text)
                expecting = False
            elif token.depth == depth and token.text == ",":
                expecting = True
            elif token.depth == depth and not expecting and token.text in ("const", "let", "var", "export", "import"):
                break
        return names


def _renamed(part: str) -> tuple[str, str]:
    name, _, alias = part.strip().partition(" as ")
    return name.strip(), (alias.strip() or name.strip())


def _bindings(clause: str, variable: str) -> str:
    """`a, {b as c}` or `a, * as d` bound from a module object."""
    parts = []
    default = re.match(r"([A-Za-z_$][\w$]*)\s*(?:,|$)", clause)
    if default:
        parts.append(f"{default[1]} = __default_of({variable})")
    if star := re.search(r"\*\s*as\s+([A-Za-z_$][\w$]*)", clause):
        parts.append(f"{star[1]} = {variable}")
    if named := re.search(r"\{(.*)\}", clause, re.DOTALL):
        pairs = [_renamed(part) for part in named[1].split(",") if part.strip()]
        for name, alias in pairs:
            value = f"__default_of({variable})" if name == "default" else f"{variable}[{json.dumps(name)}]"
            parts.append(f"{alias} = {value}")
    return f"const {', '.join(parts)};" if parts else ""


def as_function_body(source: str) -> str | None:
    """The body of an async function that does what the module does, None when the source is no ES module."""
    module = _Module(source)
    if not module.found():
        return None
    result = source
    for edit in sorted(module.edits, reverse=True):
        result = result[: edit.start] + edit.text + result[edit.end :]
    exports = "".join(f"__exports[{json.dumps(alias)}] = {name};" for alias, name in module.exports)
    return f"{' '.join(module.hoisted)}{result}\n;{exports}"
