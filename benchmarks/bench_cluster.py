"""Clusters: rota beside PM2 and beside each server alone. Speed, spread, and requests that fail while everything is reloaded.

    python benchmarks/bench_cluster.py [--quick] [--seconds 60] [--rounds 3] [--only node uvicorn ...]
                                       [--pm2 FILE] [--json FILE] [--markdown FILE]

Two copies of each server under rota, of the Node app under PM2 as well, and one of each with nobody above it. PM2 comes from
npm into benchmarks/.peers where it is not there yet (`--no-install`: do without).

Speed is measured with wrk (one thread, 32 connections), set-ups in turn, round after round; figures are medians. CPU is what all
processes of a set-up used for a request, tool included: it says more than requests per second where the load generator has to
share two cores with them. Failures are counted by clients of our own (tests/cluster/load.py): 16 of them, each waiting for its
answer, on a new connection each time or on a kept one, while the app is reloaded again and again. "retryable" is a kept
connection that ended before the first byte of an answer: a client may ask again, and most do by themselves.

Everything takes about 40 minutes, `--quick` (Node, uvicorn and http.server, one round, 5 s of reloads) about two. Needs a
checkout with the `test` dependencies, wrk for the speed, node for the Node part. Runs in a home of its own under /tmp, and is
gone afterwards. Exit status 1 when a request failed under rota.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
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
MARK = "BENCH_SET_UP"
PEERS = ROOT / "benchmarks" / ".peers"
VARIANTS = ("start script", "flask-reloader", "django-reloader", "tornado", "wsgiref")
"""Tested, and no servers of their own."""
QUICK = ["node", "uvicorn", "http.server"]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class SetUp:
    """One server under one tool (or none), up on a port."""

    server: str
    tool: str
    port: int
    reload: Callable[[], bool] | None = None
    mark: str = ""
    """In the environment of all its processes."""
    close: list[float] = field(default_factory=list)
    """New connections: requests per second, round by round."""
    keep: list[float] = field(default_factory=list)
    close_cpu: list[float] = field(default_factory=list)
    """Microseconds of CPU per request."""
    keep_cpu: list[float] = field(default_factory=list)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    spread: str = ""


@contextlib.contextmanager
def alone(server: str, home: Path) -> Iterator[SetUp]:
    """The server itself, once."""
    port = free_port()
    argv = SERVERS[server](port)
    environ = {**os.environ, "ALONE": "1", MARK: f"{home}/alone"}
    process = subprocess.Popen(argv, cwd=APPS, env=environ, start_new_session=True, **QUIET)
    try:
        yield up(SetUp(server, "alone", port, mark=environ[MARK]))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def under_rota(server: str, home: Path) -> Iterator[SetUp]:
    port = free_port()
    argv = SERVERS[server](port)
    environ = {**os.environ, "ROTA_HOME": str(home / "rota"), MARK: f"{home}/rota"}

    def run(*words: str) -> bool:
        return subprocess.run([ROTA, *words], cwd=APPS, env=environ, timeout=120, check=False, **QUIET).returncode == 0

    file = home / "bench.json"
    app = {"name": "web", "script": argv[0], "args": list(argv[1:]), "interpreter": "none", "instances": COPIES}
    file.write_text(json.dumps({"apps": [{**app, "exec_mode": "cluster", "cwd": str(APPS), "listen_timeout": 20000}]}))
    if not run("start", str(file)):
        raise SystemExit(f"rota could not start {server}")
    try:
        yield up(SetUp(server, "rota", port, lambda: run("reload", "web"), environ[MARK]))
    finally:
        run("kill")


@contextlib.contextmanager
def under_pm2(pm2: str, server: str, home: Path) -> Iterator[SetUp]:
    port = free_port()
    environ = {**os.environ, "PM2_HOME": str(home / "pm2"), MARK: f"{home}/pm2"}

    def run(*words: str) -> bool:
        return subprocess.run([pm2, *words], cwd=APPS, env=environ, timeout=120, check=False, **QUIET).returncode == 0

    argv = SERVERS[server](port)
    run("start", argv[1], "--name", "web", "-i", str(COPIES), "--", str(port))
    try:
        yield up(SetUp(server, "pm2", port, lambda: run("reload", "web"), environ[MARK]))
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
    for kept, found, cost in ((False, setup.close, setup.close_cpu), (True, setup.keep, setup.keep_cpu)):
        header = [] if kept else ["-H", "Connection: close"]
        argv = ["wrk", "-t1", "-c32", f"-d{seconds}s", *header, f"http://127.0.0.1:{setup.port}/"]
        before = cpu_seconds(setup.mark)
        text = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
        used = cpu_seconds(setup.mark) - before
        rate, total = re.search(r"Requests/sec:\s*([\d.]+)", text), re.search(r"(\d+) requests in", text)
        found.append(float(rate[1]) if rate else 0.0)
        if total and int(total[1]):
            cost.append(used / int(total[1]) * 1e6)


def cpu_seconds(mark: str) -> float:
    """What the processes with this mark in their environment have used so far."""
    ticks, wanted = 0, f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    ticks += sum(map(int, (entry / "stat").read_bytes().rpartition(b") ")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


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


def table(setups: list[SetUp]) -> str:
    """Markdown."""
    head = "server", "under", "new conn/s", "CPU µs", "keep-alive/s", "CPU µs", "spread %"
    lines = [
        f"| {' | '.join(head)} | failed, new connections | failed, kept connections |",
        "|---|---|---:|---:|---:|---:|---|---|---|",
    ]
    for one in setups:
        figures = [median(values) for values in (one.close, one.close_cpu, one.keep, one.keep_cpu)]
        lost = [told(one.failures[kind]) if kind in one.failures else "" for kind in ("close", "keep")]
        lines.append(f"| {' | '.join([one.server, one.tool, *figures, one.spread, *lost])} |")
    return "\n".join(lines)


def median(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f}" if values else ""


def goal(setups: list[SetUp]) -> str:
    """What is asked: twice PM2's new connections per second with the same Node app."""
    node = {one.tool: one for one in setups if one.server == "node"}
    if not ({"rota", "pm2"} <= node.keys() and node["rota"].close and node["pm2"].close):
        return ""
    ours, theirs = node["rota"], node["pm2"]
    ratios = [one / other for one, other in zip(ours.close, theirs.close, strict=True) if other]
    cpu = statistics.median(theirs.close_cpu) / max(statistics.median(ours.close_cpu), 1e-9) if theirs.close_cpu else 0
    each = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    return (
        f"Node, new connections: {statistics.median(ratios):.1f} times PM2's (round by round {each}; the goal is 2), "
        f"with {cpu:.1f} times less CPU a request."
    )


def heading(pm2: str) -> str:
    """What was measured on what."""
    names = ("uvicorn", "gunicorn", "aiohttp", "hypercorn", "flask", "django", "tornado", "twisted", "waitress")
    found = [f"{name} {importlib.metadata.version(name)}" for name in names if has(name)]
    node = (
        shutil.which("node")
        and subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    )
    manifest = Path(pm2).resolve().parent.parent / "package.json" if pm2 else Path()
    peer = f", PM2 {json.loads(manifest.read_text())['version']}" if manifest.is_file() else ""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{platform.system()} {platform.release()}, {cores} cores, load {load:.1f} before; Python {platform.python_version()}, "
        f"Node {(node or 'none').strip().removeprefix('v')}{peer}; {', '.join(found)}; {COPIES} copies each"
    )


def has(name: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(name))
    return False


def told(what: dict[str, Any]) -> str:
    failed = sum(what["failed"].values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in what["failed"].items())
    text = f"{failed} of {what['answered'] + failed:,}{f' ({kinds})' * bool(kinds)}, {what['reloads']} reloads"
    text += f", {what['reloads refused']} reloads failed" if what["reloads refused"] else ""
    return f"{text}, slowest {what['longest']:g} s"


def pm2_program(given: str, *, install: bool) -> str:
    """Where PM2 is; "" when it cannot be had."""
    local = PEERS / "node_modules" / ".bin" / "pm2"
    if given or local.exists():
        return given or str(local)
    found = shutil.which("pm2")
    if found or not install or not shutil.which("npm"):
        return found or ""
    PEERS.mkdir(exist_ok=True)
    words = ("npm", "install", "--no-audit", "--no-fund", "--prefix", str(PEERS), "pm2")
    subprocess.run(words, check=False, timeout=600, **QUIET)
    return str(local) if local.exists() else ""


def measure(server: str, options: argparse.Namespace, home: Path) -> list[SetUp]:
    """All set-ups of one server at the same time, measured in turn."""
    with contextlib.ExitStack() as stack:
        setups = [stack.enter_context(alone(server, home)), stack.enter_context(under_rota(server, home))]
        if options.pm2 and server == "node":
            setups.append(stack.enter_context(under_pm2(options.pm2, server, home)))
        for number in range(options.rounds + 1 if shutil.which("wrk") else 0):
            for one in setups:
                speed(one, options.wrk_seconds)
                if number == 0:  # compilers and caches are warm now
                    for figures in (one.close, one.keep, one.close_cpu, one.keep_cpu):
                        figures.clear()
        for one in setups:
            if one.reload is not None:
                spread(one)
                for kept in (False, True):
                    reloads(one, options.seconds, kept)
    print(f"\n{table(setups)}", flush=True)
    return setups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} only, and short")
    parser.add_argument("--pm2", default="", metavar="FILE", help="PM2's program")
    parser.add_argument("--no-install", action="store_true", help="do without PM2 when it is not there")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of continuous reloads, for each kind of connection"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wrk-seconds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="+", choices=SERVERS, default=[name for name in SERVERS if name not in VARIANTS]
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds, options.wrk_seconds = 5.0, 1, 2
        options.only = [name for name in QUICK if name in SERVERS]
    options.pm2 = pm2_program(options.pm2, install=not options.no_install) if "node" in options.only else ""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    if not shutil.which("wrk"):
        print("wrk is not installed: no speed figures")
    title = heading(options.pm2)
    print(title, flush=True)
    found: list[SetUp] = []
    with tempfile.TemporaryDirectory(prefix="rota-bench-") as home:
        for server in options.only:
            place = Path(home) / server
            place.mkdir()
            found += measure(server, options, place)
    text = "\n\n".join(part for part in (title, table(found), goal(found)) if part)
    print(f"\nAll together:\n\n{text}")
    if options.markdown:
        options.markdown.write_text(text + "\n")
    if options.json:
        rows: list[dict[str, Any]] = [
            {key: value for key, value in vars(one).items() if key != "reload"} for one in found
        ]
        options.json.write_text(json.dumps(rows, indent=1))
    failed = [one for one in found if one.tool == "rota" and any(what["failed"] for what in one.failures.values())]
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
