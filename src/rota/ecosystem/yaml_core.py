"""YAML as PM2 reads it: version 1.2, where `yes` and `on` are texts and `8080:80` is no number in base sixty."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100
_LARGEST = 100_000
_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), "-+0123456789."),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), "-+."),
    ("merge", re.compile(r"<<"), "<"),
)  # fmt: skip


class Loader(_SAFE):  # type: ignore[misc, valid-type]
    """A safe loader with the core schema's scalars."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """Keys are texts, as in JavaScript: `8080: x` has the key "8080"."""
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
            node.value = [(_as_text(key), value) for key, value in node.value]
        found: dict[str, Any] = super().construct_mapping(node, deep)
        return found


def _as_text(key: yaml.Node) -> yaml.Node:
    return yaml.ScalarNode(f"{_TAG}str", key.value) if isinstance(key, yaml.ScalarNode) else key


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _name, _pattern, _first in _SCALARS:
    Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern.pattern})\Z"), list(_first))
Loader.add_constructor(f"{_TAG}int", _integer)


class TooMuch(ValueError):
    """Deeper or larger than any configuration is; the message says which."""


def read(text: str) -> Any:
    """The document.

    Raises:
        yaml.YAMLError: it does not parse.
        TooMuch: it would take the machine's stack or memory. (The C parser recurses without a limit, and a few lines of aliases
            to aliases stand for billions of values.)
        ValueError: a number of thousands of digits.
    """
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise TooMuch(f"it is nested more than {_DEEPEST} deep")
    document = yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader
    if "*" in text:
        _weigh(document, {})
    return document


def _weigh(value: Any, known: dict[int, int]) -> int:
    """How many values one stands for, its aliases written out. 0 in `known` marks what is being weighed."""
    if not isinstance(value, list | dict):
        return 1
    if id(value) not in known:
        known[id(value)] = 0
        inner = value if isinstance(value, list) else value.values()
        known[id(value)] = 1 + sum(_weigh(each, known) for each in inner)
    if known[id(value)] == 0:
        raise TooMuch("an alias (*name) stands inside what it names")
    if known[id(value)] > _LARGEST:
        raise TooMuch(f"its aliases (*name) stand for more than {_LARGEST:,} values")
    return known[id(value)]
