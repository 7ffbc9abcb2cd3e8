"""The SQLite store: one file, any number of processes of one host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rota.stores.connection import Database
from rota.stores.sqlite_budgets import SqliteBudgets
from rota.stores.sqlite_jobs import SqliteJobs
from rota.stores.sqlite_runs import SqliteRuns
from rota.stores.sqlite_signs import SqliteSigns

if TYPE_CHECKING:
    import os
    from contextlib import AbstractContextManager

    from rota.stores.base import Store


class SqliteStore(SqliteJobs, SqliteRuns, SqliteBudgets, SqliteSigns):
    """`Store` over rota.db. Opens on first use, from any thread, and again in a forked child.

    Budgets have a connection of their own: a rate limit must not wait behind somebody's look at the history.
    """

    shared = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = str(Path(path).absolute())
        self.url = f"sqlite:///{self.path}"
        self._asked = 0
        self._db = Database(self.path)
        self._budgets = Database(self.path)

    def batch(self) -> AbstractContextManager[None]:
        """See `Store.batch`."""
        return self._db.batch()

    def changes(self) -> int:
        """See `Store.changes`."""
        return int(self._db.read("PRAGMA data_version")[0][0]) + (self._asked << 32)

    def close(self) -> None:
        """See `Store.close`."""
        self._db.close()
        self._budgets.close()

    def __repr__(self) -> str:
        return f"SqliteStore({self.path!r})"


if TYPE_CHECKING:
    _fulfils: Store = SqliteStore("")
