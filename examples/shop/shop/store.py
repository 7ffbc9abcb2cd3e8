"""The shop's SQLite file: products, orders and what the scrapers found. Every program opens its own connection."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL, stock INTEGER NOT NULL, stars REAL
);
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES products, quantity INTEGER NOT NULL CHECK (quantity > 0),
    state TEXT NOT NULL DEFAULT 'new', total_cents INTEGER, created TEXT NOT NULL, processed TEXT
);
CREATE INDEX IF NOT EXISTS orders_by_state ON orders (state, id);
CREATE TABLE IF NOT EXISTS snapshots (id INTEGER PRIMARY KEY, source TEXT NOT NULL, taken TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS price_history (
    product INTEGER NOT NULL REFERENCES products, day TEXT NOT NULL, price_cents INTEGER NOT NULL, PRIMARY KEY (product, day)
);
"""


def database_path() -> Path:
    return ROOT / os.environ.get("SHOP_DB", "var/shop.db")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def cents(price: str) -> int:
    return int(Decimal(price) * 100)


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode; `with transaction(db)` groups what belongs together."""
    path = database_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        yield db
    finally:
        db.close()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: two writers that both read first would otherwise end in a deadlock that no timeout resolves.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def prepare() -> None:
    """Create the tables, and fill an empty shop from the catalogue."""
    catalogue = json.loads((ROOT / "catalogue.json").read_text(encoding="utf-8"))
    with connect() as db, transaction(db):
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.executemany(
            "INSERT OR IGNORE INTO products (id, name, price_cents, stock) VALUES (?, ?, ?, ?)",
            [(item["id"], item["name"], cents(item["price"]), item["stock"]) for item in catalogue],
        )


def products() -> list[dict[str, Any]]:
    with connect() as db:
        return [dict(row) for row in db.execute("SELECT * FROM products ORDER BY id")]


def orders(limit: int = 50) -> list[dict[str, Any]]:
    with connect() as db:
        return [dict(row) for row in db.execute("SELECT * FROM orders ORDER BY id DESC LIMIT ?", (limit,))]


def order(number: int) -> dict[str, Any] | None:
    with connect() as db:
        row = db.execute("SELECT * FROM orders WHERE id = ?", (number,)).fetchone()
        return dict(row) if row else None


def add_order(product: int, quantity: int) -> dict[str, Any]:
    """Record a new order. Raises LookupError for a product that is not there."""
    with connect() as db, transaction(db):
        if db.execute("SELECT 1 FROM products WHERE id = ?", (product,)).fetchone() is None:
            raise LookupError(product)
        cursor = db.execute(
            "INSERT INTO orders (product, quantity, created) VALUES (?, ?, ?) RETURNING *", (product, quantity, now())
        )
        return dict(cursor.fetchone())


def process_next_order() -> dict[str, Any] | None:
    """Take the oldest new order: reserve its stock and total it, or reject it. None when there is none."""
    with connect() as db, transaction(db):
        row = db.execute(
            "SELECT orders.*, price_cents, stock FROM orders JOIN products ON products.id = orders.product"
            " WHERE state = 'new' ORDER BY orders.id LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        enough = row["stock"] >= row["quantity"]
        if enough:
            db.execute("UPDATE products SET stock = stock - ? WHERE id = ?", (row["quantity"], row["product"]))
        cursor = db.execute(
            "UPDATE orders SET state = ?, total_cents = ?, processed = ? WHERE id = ? RETURNING *",
            (
                "done" if enough else "rejected",
                row["quantity"] * row["price_cents"] if enough else None,
                now(),
                row["id"],
            ),
        )
        return dict(cursor.fetchone())


def record(source: str, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """Write what a scraper found, with a line in `snapshots`, all or nothing. Returns how many rows it found."""
    found = list(rows)
    with connect() as db, transaction(db):
        db.executemany(statement, found)
        db.execute("INSERT INTO snapshots (source, taken, rows) VALUES (?, ?, ?)", (source, now(), len(found)))
    return len(found)


def snapshots() -> list[dict[str, Any]]:
    """The latest snapshot of each source."""
    with connect() as db:
        rows = db.execute("SELECT source, MAX(taken) AS taken, rows FROM snapshots GROUP BY source ORDER BY source")
        return [dict(row) for row in rows]
