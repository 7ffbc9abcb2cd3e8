"""A small stand-in for a social network's API: mentions and lookups, with the rate limits of the real thing.

    python api.py [PORT]

Limits are per endpoint and count every request of the last window, as servers do; whoever is over gets a 429 with
Retry-After. `/stats` tells how many were served and refused. SPEED (default 1) makes its window that many times shorter.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

WINDOW = 15 * 60 / float(os.environ.get("SPEED", "1"))
LIMITS = {"/mentions": 10, "/lookup": 15}


class Meter:
    """Requests of the last window, by endpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {path: deque() for path in LIMITS}
        self.served = dict.fromkeys(LIMITS, 0)
        self.refused = dict.fromkeys(LIMITS, 0)
        self.most = dict.fromkeys(LIMITS, 0)

    def admit(self, path: str) -> float:
        """0 = served; else seconds until it would be."""
        with self._lock:
            now, times = time.monotonic(), self._times[path]
            while times and times[0] <= now - WINDOW:
                times.popleft()
            if len(times) >= LIMITS[path]:
                self.refused[path] += 1
                return times[0] + WINDOW - now
            times.append(now)
            self.served[path] += 1
            self.most[path] = max(self.most[path], len(times))
            return 0.0

    def stats(self) -> dict[str, Any]:
        """What `/stats` answers."""
        with self._lock:
            facts = {"served": self.served, "refused": self.refused, "most_in_a_window": self.most}
            return facts | {"limits": LIMITS, "window_seconds": WINDOW}


class Network:
    """Posts that mention the contest; a few more each time somebody looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dice = random.Random(1)
        self._last = 0

    def mentions(self, since: int) -> list[dict[str, Any]]:
        """Entries newer than `since`, some of them new."""
        with self._lock:
            self._last += self._dice.randint(5, 60)
            return [{"id": n, "author": f"user{n % 97}"} for n in range(since + 1, self._last + 1)]

    def lookup(self, ids: list[int]) -> list[dict[str, Any]]:
        """What has become of these posts; a few were deleted."""
        return [{"id": n, "likes": n * 7 % 101, "reposts": n * 3 % 17} for n in ids if n % 23]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    meter, network = Meter(), Network()

    def do_GET(self) -> None:
        """Answer, or refuse."""
        url = urlparse(self.path)
        query = parse_qs(url.query)
        if url.path == "/stats":
            self._answer(200, self.meter.stats())
        elif url.path not in LIMITS:
            self._answer(404, {"error": "not found"})
        elif wait := self.meter.admit(url.path):
            self._answer(429, {"error": "too many requests"}, retry_after=f"{wait:.3f}")
        elif url.path == "/mentions":
            self._answer(200, {"mentions": self.network.mentions(int(query.get("since", ["0"])[0]))})
        else:
            ids = [int(each) for each in query.get("ids", [""])[0].split(",") if each]
            self._answer(200, {"posts": self.network.lookup(ids[:100])})

    def log_message(self, format: str, *args: Any) -> None:
        """Say only what is refused."""
        if len(args) > 1 and args[1] == "429":
            super().log_message(format, *args)

    def _answer(self, status: int, body: dict[str, Any], retry_after: str = "") -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(payload)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8787), Handler)
    print(f"the network is on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
