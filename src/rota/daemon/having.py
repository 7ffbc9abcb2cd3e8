"""Instances chosen by their specification, for those who look every second: with ten thousand jobs a look at all is dear."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.entry import Entry
    from rota.daemon.supervisor import Supervisor
    from rota.process.spec import AppSpec


class Having:
    """Those whose specification fulfils a condition; looked for again only when instances or specifications changed."""

    def __init__(self, supervisor: Supervisor, condition: Callable[[AppSpec], bool]) -> None:
        self._supervisor, self._condition = supervisor, condition
        self._seen = -1
        self._found: list[Entry] = []

    def __call__(self) -> list[Entry]:
        """Those, by id or in the order they came."""
        if self._seen != self._supervisor.changes:
            self._seen = self._supervisor.changes
            self._found = [entry for entry in self._supervisor.entries.values() if self._condition(entry.spec)]
        return self._found
