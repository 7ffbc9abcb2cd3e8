"""state.json: what is wanted, beside the database. What a corrupt database is rebuilt from."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from typing import TYPE_CHECKING

import msgspec

from rota.process.spec import AppSpec  # noqa: TC001 - msgspec resolves annotations at run time
from rota.process.state import Instance  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rota.home import Home

log = logging.getLogger("rota.ledger")

SLICE = 200
"""Rows written in one go: some two milliseconds of the loop's time."""
_TURN_FIRST = re.compile(rb'\{"turn":(\d{1,18}),')
_encode = msgspec.json.Encoder().encode


class Snapshot(msgspec.Struct, frozen=True):
    """Every instance and its specification."""

    turn: int = 0
    """How often what is wanted had changed. First, so that it is known without reading the rest (`snapshot_turn`)."""
    rows: list[tuple[Instance, AppSpec]] = []


def write(home: Home, turn: int, rows: Sequence[tuple[Instance, AppSpec]]) -> Iterator[None]:
    """Write the file anew, giving way after every slice of rows; the old one stays until the new one is whole.

    Raises:
        OSError: the disk refuses.
    """
    path = snapshot_path(home)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.new")  # one that was begun and is not to be finished may still be open
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(b'{"turn":%d,"rows":[' % turn)
        for first in range(0, len(rows), SLICE):
            if first:
                file.write(b",")
                yield
            file.write(_encode(rows[first : first + SLICE])[1:-1])
        file.write(b"]}")
    os.replace(f"{path}.new", path)


def snapshot_path(home: Home) -> str:
    """Where the second copy lies."""
    return home.path + "/state.json"


def read_snapshot(home: Home) -> Snapshot:
    """The second copy; empty when there is none or it cannot be read either."""
    try:
        with open(snapshot_path(home), "rb") as file:
            return msgspec.json.decode(file.read(), type=Snapshot)
    except (OSError, ValueError, RecursionError) as error:
        log.warning("no usable second copy of the ledger: %s", error)
        return Snapshot()


def snapshot_turn(home: Home) -> int:
    """The second copy's count of changes, from its first bytes; 0 when they do not say."""
    try:
        with open(snapshot_path(home), "rb") as file:
            found = _TURN_FIRST.match(file.read(64))
    except OSError:
        return 0
    return int(found[1]) if found else 0
