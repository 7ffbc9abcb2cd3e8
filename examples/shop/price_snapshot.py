"""Keeps today's prices, as the API has them. `--check` says by its exit code whether today's are there."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

from shop import store

PATIENCE = 15.0
"""Seconds to wait for an API that is just starting."""


def fetch(url: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                products: list[dict[str, Any]] = json.load(answer)
                return products
        except urllib.error.URLError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{url} does not answer: {error.reason}") from None
            time.sleep(0.5)


def taken(day: str) -> int:
    with store.connect() as db:
        count: int = db.execute("SELECT COUNT(*) FROM price_history WHERE day = ?", (day,)).fetchone()[0]
        return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="take nothing; fail unless today's prices are there")
    check = parser.parse_args().check
    store.prepare()
    day = datetime.now(UTC).date().isoformat()
    if check:
        count = taken(day)
        print(f"{count} prices of {day}")
        sys.exit(0 if count else 1)
    products = fetch(f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/products")
    count = store.record(
        "prices",
        "INSERT OR REPLACE INTO price_history (product, day, price_cents) VALUES (?, ?, ?)",
        ((product["id"], day, product["price_cents"]) for product in products),
    )
    print(f"{count} prices of {day} kept")


if __name__ == "__main__":
    main()
