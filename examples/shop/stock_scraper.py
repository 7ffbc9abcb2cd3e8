"""Reads the supplier's list and brings stock and prices up to date."""

from __future__ import annotations

import csv

from shop import store


def main() -> None:
    store.prepare()
    with (store.ROOT / "feeds" / "stock.csv").open(newline="", encoding="utf-8") as file:
        rows = [(int(row["available"]), store.cents(row["price"]), int(row["product"])) for row in csv.DictReader(file)]
    count = store.record("stock", "UPDATE products SET stock = ?, price_cents = ? WHERE id = ?", rows)
    print(f"stock of {count} products read")


if __name__ == "__main__":
    main()
