"""One suite for every store: what runs here is the contract in rota/stores/base.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rota.stores.memory import MemoryStore
from rota.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rota.stores.base import Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "rota.db")
    yield opened
    opened.close()
