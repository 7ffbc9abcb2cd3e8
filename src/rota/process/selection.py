"""What a target means: PM2's rules (reference, section 2.2), pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import join, normpath  # words about paths; no file is looked at
from typing import TYPE_CHECKING, Literal

from rota.errors import TargetNotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

How = Literal["all", "regex", "name", "namespace", "id", "path"]


@dataclass(frozen=True, slots=True)
class Known:
    """What selection may look at of an instance."""

    id: int
    name: str
    namespace: str
    exec_path: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The instances a target addresses, by id, and which rule found them."""

    ids: tuple[int, ...]
    how: How
    target: str


def select(target: str, known: Sequence[Known], cwd: str) -> Selection:
    """Resolve one target. An empty selection means that nothing matched.

    Raises:
        UsageError: a regular expression that is none.
    """
    if target == "all":
        return Selection(tuple(item.id for item in known), "all", target)
    if len(target) > 1 and target.startswith("/") and target.endswith("/"):
        return _by_regex(target, known)
    named = tuple(item.id for item in known if item.name == target)
    if named:
        return Selection(named, "name", target)
    if not target.isdecimal():
        path = normpath(join(cwd, target))
        run = tuple(item.id for item in known if item.exec_path == path)
        if run:
            return Selection(run, "path", target)
    spaced = tuple(item.id for item in known if item.namespace == target)
    if spaced:
        return Selection(spaced, "namespace", target)
    if target.isdecimal():
        return Selection(tuple(item.id for item in known if item.id == int(target)), "id", target)
    return Selection((), "name", target)


def _by_regex(target: str, known: Sequence[Known]) -> Selection:
    try:
        pattern = re.compile(target.strip("/"))
    except re.error as error:
        raise UsageError(f"{target} is not a regular expression: {error}", "quote it, as in '/^api/'") from error
    return Selection(tuple(item.id for item in known if pattern.search(item.name)), "regex", target)


def not_found(selection: Selection, suggestion: str = "") -> TargetNotFound:
    """PM2's sentence for a target that means nothing, with a hint where there is a close name."""
    hint = f'did you mean "{suggestion}"?' if suggestion else "`rota list` shows what there is"
    match selection.how:
        case "all" | "regex":
            return TargetNotFound("No process found", "start something first" if selection.how == "all" else hint)
        case "id":
            return TargetNotFound(f"{selection.target} : id unknown", "`rota list` shows the ids")
        case _:
            return TargetNotFound(f"Process or Namespace {selection.target} not found", hint)
