"""Numbered lines in a log: which are missing, which are there twice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Count:
    """What became of the lines of one app that writes `line 0`, `line 1` ... and at last `end N`."""

    written: int
    lost: int
    doubled: int
    broken: int

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.broken)


def count(text: str) -> Count:
    """Look through a whole log. An unfinished last line does not count."""
    lines = text.split("\n")[:-1]
    seen: dict[int, int] = {}
    broken, last = 0, None
    for line in lines:
        word, _, number = line.partition(" ")
        if word == "line" and number.isdecimal():
            seen[int(number)] = seen.get(int(number), 0) + 1
        elif word == "end" and number.isdecimal():
            last = int(number)
        else:
            broken += 1
    written = last if last is not None else max(seen, default=-1) + 1
    lost = sum(number not in seen for number in range(written))
    return Count(written, lost, sum(times - 1 for times in seen.values()), broken)
