"""A mark that no process of a tree can lose by accident: not by setsid, fork and exec, not by `env -i` or sudo, which start with
a fresh environment, and not by a program that writes its title over its environment (nginx, PostgreSQL).

Resource limits are inherited through all of that, and anybody may read them. One limits nothing that is not scheduled in real
time, and is unlimited everywhere: RLIMIT_RTTIME, microseconds. A soft limit of tens of thousands of years is as good as
none, and its number says whose process it is. Linux only.
"""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST = 1 << 61
"""The smallest mark. The largest is below 1 << 62, which every interface takes for a number."""
_LINE = b"Max realtime timeout"


def mark_of(entry: bytes) -> int:
    """The mark that goes with a marker, as b"ROTA_INSTANCE=home:3:1": its FNV-1a checksum."""
    found = 0xCBF29CE484222325
    for byte in entry:
        found = ((found ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return LEAST | found & (LEAST - 1)


@contextlib.contextmanager
def marked(entry: bytes) -> Iterator[None]:
    """What is spawned meanwhile carries the mark. Where the system refuses, it does not: there is the environment still."""
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark_of(entry), before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_RTTIME, before)


def read_mark(pid: int) -> int | None:
    """The mark a process carries, if any."""
    try:
        with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
            text = file.read(4096) or b""
    except OSError:
        return None
    place = text.find(_LINE)
    words = text[place + len(_LINE) :].split(None, 1) if place >= 0 else []
    value = int(words[0]) if words and words[0].isdigit() else 0
    return value if LEAST <= value < LEAST << 1 else None
