"""Wait for a fact, not for time: poll a predicate until it is true or a deadline passes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(predicate: Callable[[], T], within: float = 10.0, every: float = 0.01) -> T:
    """Return the predicate's first truthy value; fail with its last value after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {within} s; last value: {value!r}")
        time.sleep(every)
