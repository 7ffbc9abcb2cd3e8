"""Clusters: rota beside PM2 and beside each server alone. Speed, spread, and requests that fail while everything is reloaded.

    python benchmarks/bench_cluster.py [--pm2 DIR/node_modules/.bin/pm2] [--seconds 60] [--rounds 3] [--only node uvicorn]
                                       [--json FILE]

    npm install --prefix /tmp/pm2 pm2      # for --pm2 /tmp/pm2/node_modules/.bin/pm2

Speed is measured with wrk (one thread, 32 connections), set-ups in turn, round after round; figures are medians. Failures are
counted by clients of our own (tests/cluster/load.py): each waits for its answer, on a new connection each time or on a kept
one, while the app is reloaded again and again. Needs a checkout with the `test` dependencies, and node for the Node part.
Everything runs in a home of its own under /tmp, and is gone afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.cluster.load import Load, ask  # noqa: E402
from tests.cluster.servers import APPS, SERVERS, free_port  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROTA = str(Path(sys.executable).with_name("rota"))
COPIES = 2
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class SetUp:
    """One server under one tool (or none), up on a port."""

    server: str
    tool: str
    port: int
    reload: Callable[[], bool] | None = None
    close: list[float] = field(default_factory=list)
    keep: list[float] = field(default_factory=list)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    spread: str = ""


@contextlib.contextmanager
def alone(server: str, home: Path) -> Iterator[SetUp]:
    """The server itself, once."""
    port = free_port()
    argv = SERVERS[server](port)
    process = subprocess.Popen(argv, cwd=APPS, env={**os.environ, "ALONE": "1"}, start_new_session=True, **QUIET)
    try:
        yield up(SetUp(server, "alone", port))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def under_rota(server: str, home: Path) -> Iterator[SetUp]:
    port = free_port()
    argv = SERVERS[server](port)
    environ = {**os.environ, "ROTA_HOME": str(home / "rota")}

    def run(*words: str) -> bool:
        return subprocess.run([ROTA, *words], cwd=APPS, env=environ, timeout=120, check=False, **QUIET).returncode == 0

    file = home / "bench.json"
    app = {"name": "web", "script": argv[0], "args": list(argv[1:]), "interpreter": "none", "instances": COPIES}
    file.write_text(json.dumps({"apps": [{**app, "exec_mode": "cluster", "cwd": str(APPS), "listen_timeout": 20000}]}))
    if not run("start", str(file)):
        raise SystemExit(f"rota could not start {server}")
    try:
        yield up(SetUp(server, "rota", port, lambda: run("reload", "web")))
    finally:
        run("kill")


@contextlib.contextmanager
def under_pm2(pm2: str, server: str, home: Path) -> Iterator[SetUp]:
    port = free_port()
    environ = {**os.environ, "PM2_HOME": str(home / "pm2")}

    def run(*words: str) -> bool:
        return subprocess.run([pm2, *words], cwd=APPS, env=environ, timeout=120, check=False, **QUIET).returncode == 0

    argv = SERVERS[server](port)
    run("start", argv[1], "--name", "web", "-i", str(COPIES), "--", str(port))
    try:
        yield up(SetUp(server, "pm2", port, lambda: run("reload", "web")))
    finally:
        run("kill")


def up(setup: SetUp) -> SetUp:
    """Wait until it answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            ask(setup.port)
            return setup
        except (OSError, EOFError):
            if time.monotonic() > deadline:
                raise SystemExit(f"{setup.server} ({setup.tool}) does not answer") from None
            time.sleep(0.05)


def speed(setup: SetUp, seconds: int) -> None:
    """One round of both kinds."""
    for kept, found in ((False, setup.close), (True, setup.keep)):
        header = [] if kept else ["-H", "Connection: close"]
        argv = ["wrk", "-t1", "-c32", f"-d{seconds}s", *header, f"http://127.0.0.1:{setup.port}/"]
        text = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
        match = re.search(r"Requests/sec:\s*([\d.]+)", text)
        found.append(float(match[1]) if match else 0.0)


def spread(setup: SetUp) -> None:
    """How 400 new connections fall on the copies."""
    found = Counter(ask(setup.port).split()[0] for _ in range(400))
    setup.spread = "/".join(f"{count / 4:.0f}" for _, count in found.most_common())


def reloads(setup: SetUp, seconds: float, kept: bool) -> None:
    """Reload without a pause for so long, under load."""
    assert setup.reload is not None
    done = refused = 0
    with Load(setup.port, keep=kept, clients=16) as load:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if setup.reload():
                done += 1
            else:
                refused += 1
    setup.failures["keep" if kept else "close"] = {
        "answered": load.answered,
        "failed": load.failed,
        "reloads": done,
        "reloads refused": refused,
        "longest": round(load.longest, 3),
    }


def show(setups: list[SetUp]) -> None:
    def rate(values: list[float]) -> str:
        return f"{statistics.median(values):,.0f}" if values else ""

    print(
        f"\n{'server':18} {'tool':6} {'new conn/s':>11} {'keep-alive/s':>13} {'spread %':>12}   failures during reloads"
    )
    for one in setups:
        lost = "; ".join(f"{kind}: {told(what)}" for kind, what in one.failures.items())
        print(
            f"{one.server:18} {one.tool:6} {rate(one.close):>11} {rate(one.keep):>13} {one.spread:>12}   {lost}",
            flush=True,
        )


def told(what: dict[str, Any]) -> str:
    failed = sum(what["failed"].values())
    parts = [f"{failed} of {what['answered'] + failed:,} in {what['reloads']} reloads, longest {what['longest']:g} s"]
    parts += [f"{count} {kind}" for kind, count in what["failed"].items()]
    parts += [f"{what['reloads refused']} reloads failed"] if what["reloads refused"] else []
    return ", ".join(parts)


def measure(server: str, options: argparse.Namespace, home: Path) -> list[SetUp]:
    """All set-ups of one server at the same time, measured in turn."""
    with contextlib.ExitStack() as stack:
        setups = [stack.enter_context(alone(server, home)), stack.enter_context(under_rota(server, home))]
        if options.pm2 and server == "node":
            setups.append(stack.enter_context(under_pm2(options.pm2, server, home)))
        for _ in range(options.rounds if shutil.which("wrk") else 0):
            for one in setups:
                speed(one, options.wrk_seconds)
        for one in setups:
            if one.reload is not None:
                spread(one)
                for kept in (False, True):
                    reloads(one, options.seconds, kept)
    show(setups)
    return setups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pm2", default=shutil.which("pm2") or "")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of continuous reloads, for each kind of connection"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wrk-seconds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    if not shutil.which("wrk"):
        print("wrk is not installed: no speed figures")
    found: list[SetUp] = []
    with tempfile.TemporaryDirectory(prefix="rota-bench-") as home:
        for server in options.only:
            place = Path(home) / server
            place.mkdir()
            found += measure(server, options, place)
    print("\nAll together:")
    show(found)
    if options.json:
        rows = [{key: value for key, value in vars(one).items() if key != "reload"} for one in found]
        options.json.write_text(json.dumps(rows, indent=1))
    failed = [one for one in found if one.tool == "rota" and any(what["failed"] for what in one.failures.values())]
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
