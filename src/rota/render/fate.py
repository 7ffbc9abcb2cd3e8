"""What a start of rota brings back, instance by instance: `startup --verify` and `resurrect --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NOTHING = "nothing: no app is known and none is saved"


class Known(NamedTuple):
    """An instance of the ledger."""

    name: str
    number: int
    wanted: bool
    is_job: bool
    paused: bool = False


def fates(known: Iterable[Known], saved: Mapping[str, Sequence[bool]]) -> list[tuple[str, int, str]]:
    """Name, number and what becomes of it. `saved`: which instances were to run, by name; only what is not known counts."""
    there = list(known)
    names = {one.name for one in there}
    lines = [(one.name, one.number, _fate(one)) for one in there]
    for name, running in saved.items():
        if name not in names:
            lines += [(name, n, "comes back (saved)" if up else "stays stopped") for n, up in enumerate(running)]
    return lines


def _fate(one: Known) -> str:
    if one.is_job:
        return "a job, stays paused" if one.paused else "a job, runs when it is due"
    return "comes back" if one.wanted else "stays stopped"


def fates_text(lines: Iterable[tuple[str, int, str]]) -> str:
    """One a line, with a final newline."""
    return "".join(f"{name} ({number}): {fate}\n" for name, number, fate in lines) or f"{NOTHING}\n"
