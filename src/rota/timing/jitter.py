"""A stable offset by hash, so that a hundred jobs at midnight do not start in one second, and each keeps its own place."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def stable_hash(key: str) -> int:
    """64 bits that depend on the text alone: FNV-1a, then MurmurHash3's finalizer, because FNV's high bits are weak for
    names that differ in the last letter. Python's own hash() differs from process to process."""
    value = 0xCBF29CE484222325
    for byte in key.encode():
        value = (value ^ byte) * 0x100000001B3 & _MASK
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33


def offset(key: str, spread: float, gap: float | None = None) -> float:
    """Seconds, whole milliseconds, in [0, spread) and below `gap`.

    Args:
        key: who it is for, as "job@host"; the same key has the same offset on every start.
        spread: the width to spread over, seconds.
        gap: seconds to the next firing; an offset never reaches it, so firings keep their order.
    """
    width = spread if gap is None else min(spread, gap)
    steps = int(width * 1000)
    return stable_hash(key) * steps // (_MASK + 1) / 1000 if steps > 0 else 0.0
