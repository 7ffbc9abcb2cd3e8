"""Which row of `specs` each instance uses. Instances of one app share one: the very same object means the very same row."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from rota.process.spec import AppSpec

Row = tuple[int, "AppSpec"]
"""Id of the row, and what it holds."""


class SpecRows:
    """Rows in use, as committed; counted, because asking the database who else uses one takes a look at all."""

    def __init__(self) -> None:
        self._of: dict[int, Row] = {}
        self._users: Counter[int] = Counter()
        self._by_object: dict[int, Row] = {}

    def of(self, instance: int) -> Row | None:
        """The row of an instance."""
        return self._of.get(instance)

    def put(self, connection: sqlite3.Connection, spec: AppSpec, now: float, fresh: dict[int, Row]) -> Row:
        """The row of a specification, made if there is none. `fresh`: those made in this transaction."""
        known = self._by_object.get(id(spec)) or fresh.get(id(spec))
        if known is not None:
            return known
        cursor = connection.execute(
            "INSERT INTO specs(app, body, created) VALUES (?, ?, ?)", (spec.name, msgspec.json.encode(spec), now)
        )
        assert cursor.lastrowid is not None
        made = fresh[id(spec)] = (cursor.lastrowid, spec)
        return made

    def unused(self, written: Mapping[int, Row | None]) -> list[int]:
        """Rows that nobody uses any more once these instances have theirs."""
        change: Counter[int] = Counter()
        for instance, row in written.items():
            before = self._of.get(instance)
            if before is not None:
                change[before[0]] -= 1
            if row is not None:
                change[row[0]] += 1
        return [row for row, more in change.items() if self._users[row] + more <= 0]

    def commit(self, written: Mapping[int, Row | None]) -> None:
        """The transaction is through."""
        for instance, row in written.items():
            before = self._of.pop(instance, None)
            if row is not None:
                self._of[instance] = row
                self._users[row[0]] += 1
                self._by_object[id(row[1])] = row
            if before is not None:
                self._users[before[0]] -= 1
                if self._users[before[0]] <= 0:
                    del self._users[before[0]]
                    self._by_object.pop(id(before[1]), None)
