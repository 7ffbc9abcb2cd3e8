"""Processes new orders, oldest first, until it is asked to end. An order that is being processed is finished first."""

from __future__ import annotations

import argparse
import signal
from threading import Event

from shop import store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poll", type=float, default=1.0, metavar="SECONDS", help="how often to look for orders")
    poll = parser.parse_args().poll
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    store.prepare()
    print("waiting for orders", flush=True)
    while not ended.is_set():
        order = store.process_next_order()
        if order is None:
            ended.wait(poll)
            continue
        total = f", {order['total_cents'] / 100:.2f}" if order["total_cents"] is not None else ""
        print(
            f"order {order['id']}: {order['quantity']} x product {order['product']} {order['state']}{total}", flush=True
        )
    print("ended", flush=True)


if __name__ == "__main__":
    main()
