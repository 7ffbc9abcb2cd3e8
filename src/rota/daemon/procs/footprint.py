"""What processes really hold together: memory that a server shares with its forked workers counts once. Linux only.

The sum of resident sets counts it once for each: ten workers of a server that loaded 300 MB before it forked seem to hold
3 GB. The kernel knows better (Pss, proc_pid_smaps_rollup(5)), but has to walk through every page for it, some 20 ms a GB.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAUSE = 5.0
"""Seconds between two readings of one tree, at least."""
SHARE = 0.01
"""The part of a core that readings may take."""


def footprint(pids: Iterable[int]) -> int | None:
    """Bytes, a page that n processes share counted as 1/n for each; None where the kernel does not tell."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:
                text = file.read(4096) or b""
        except OSError as error:
            if error.errno == errno.ESRCH or (error.errno == errno.ENOENT and not _is_there(pid)):
                continue  # it has ended
            return None
        total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith(b"Pss:")), 0)
    return total * 1024


def _is_there(pid: int) -> bool:
    try:
        open(f"/proc/{pid}/stat", "rb").close()
    except OSError:
        return False
    return True


class Footprints:
    """Readings of trees whose resident sets look too big, as seldom as their cost asks for.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: dict[int, tuple[int, int | None, float]] = {}

    def of(self, id: int, gen: int, pids: Iterable[int]) -> int | None:
        """The footprint of an instance's tree, read now or a moment ago; None where the kernel does not tell."""
        known_gen, known, until = self._known.get(id, (gen, None, 0.0))
        began = self._monotonic()
        if known_gen == gen and began < until:
            return known
        found = footprint(pids)
        took = self._monotonic() - began
        self._known[id] = (gen, found, began + max(PAUSE, took / SHARE))
        return found

    def keep(self, ids: Iterable[int]) -> None:
        """Forget all others."""
        kept = set(ids)
        for id in self._known.keys() - kept:
            del self._known[id]
