"""From a URL to a store; one store per place and process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from rota.errors import StoreUnavailable

if TYPE_CHECKING:
    from rota.stores.base import Store

_OPENED: dict[str, Store] = {}
_LOCK = threading.Lock()


def default_url() -> str:
    """Where the library keeps its records when nothing is said.

    ROTA_STORE (a URL) first; then ROTA_DB (a path, set by the daemon for the apps it runs); else rota.db in the working
    directory.
    """
    url = os.environ.get("ROTA_STORE")
    if url:
        return url
    return f"sqlite:///{os.environ.get('ROTA_DB') or 'rota.db'}"


def open_store(url: str | None = None) -> Store:
    """The store behind a URL: `sqlite:///relative.db`, `sqlite:////absolute.db` or `memory://`; None = the default.

    The same place gives the same object, so that budgets and schedulers of one process share its connections. Nothing is
    touched before the first use. Each `memory://` is a store of its own; `memory://NAME` is shared by that name.

    Raises:
        StoreUnavailable: no such kind of store.
    """
    url = url or default_url()
    if url == "memory://":
        from rota.stores.memory import MemoryStore

        return MemoryStore()
    scheme, _, place = url.partition(":")
    with _LOCK:
        if scheme == "memory":
            return _OPENED.setdefault(url, _memory())
        if scheme == "sqlite" and place.startswith("///"):
            path = os.path.abspath(place[3:])
            if path not in _OPENED:
                _OPENED[path] = _sqlite(path)
            return _OPENED[path]
    raise StoreUnavailable(
        f"no store is known for {_without_password(url)!r}",
        "use sqlite:///rota.db, sqlite:////absolute/path/rota.db or memory://",
    )


def _memory() -> Store:
    from rota.stores.memory import MemoryStore

    return MemoryStore()


def _sqlite(path: str) -> Store:
    from rota.stores.sqlite import SqliteStore

    return SqliteStore(path)


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    scheme = head.partition("://")[0]
    return f"{scheme}://...@{tail}" if at else url
