"""Every benchmark in one go, peers included; behind `benchmarks/run`.

    benchmarks/run [--quick] [--only processes cron] [--no-install]

Peers come from their own registries into benchmarks/.peers: npm's pm2 and node-cron, PyPI's supervisor, circus, apscheduler and
the rate limiters, in a virtual environment of their own. One that cannot be installed or run here is a "–" with the reason
below the tables. Each benchmark takes its rounds in turn over all tools, so that a busy machine disturbs all alike. Everything
takes about an hour and a half, `--quick` (one round, fewer servers, 50 processes only) about ten minutes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plot import picture
from summary import TOOLS, rows, table

HERE = Path(__file__).parent
PEERS = HERE / ".peers"
RESULTS = HERE / "results"
NODE_PACKAGES = ("pm2", "node-cron")
PYTHON_PACKAGES = (
    "supervisor", "circus", "apscheduler<4", "limits", "aiolimiter", "pyrate-limiter", "throttled-py", "cronsim", "croniter",
)  # fmt: skip
LEGEND = """Medians, with the least and the greatest behind them where there were several rounds. `raw` is what the machine allows
without any supervisor. The tables of each benchmark follow below."""
LIMIT = 3600.0
"""Seconds that one benchmark may take."""


@dataclass
class Peers:
    """Where the peers' programs are, "" for what is not there, and why."""

    reasons: list[str] = field(default_factory=list)

    def node(self, name: str) -> str:
        path = PEERS / "node_modules" / ".bin" / name
        return str(path) if path.exists() else ""

    def module(self, name: str) -> str:
        return str(PEERS) if (PEERS / "node_modules" / name).exists() else ""

    def python(self, name: str = "python") -> str:
        path = PEERS / "venv" / "bin" / name
        return str(path) if path.exists() else ""

    def install(self) -> None:
        """Idempotent: what is there stays."""
        PEERS.mkdir(exist_ok=True)
        missing = [name for name in NODE_PACKAGES if not self.module(name)]
        if missing:
            self._try(("npm", "install", "--no-audit", "--no-fund", "--prefix", str(PEERS), *missing))
        if not self.python():
            self._try((sys.executable, "-m", "venv", str(PEERS / "venv")))
        pip = (self.python(), "-m", "pip", "install", "-q", "--disable-pip-version-check")
        if not self._try((*pip, *PYTHON_PACKAGES), tell=False):
            for package in PYTHON_PACKAGES:  # one that cannot be had must not cost the others
                self._try((*pip, package))

    def _try(self, command: tuple[str, ...], *, tell: bool = True) -> bool:
        print("$", *command, file=sys.stderr)
        try:
            subprocess.run(command, check=True, timeout=600, capture_output=True, text=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
            if tell:
                self.reasons.append(f"`{' '.join(command[:1])} … {command[-1]}` failed: {' '.join(said)[:200]}")
            return False
        return True

    def versions(self) -> list[str]:
        found = []
        for name in NODE_PACKAGES:
            path = PEERS / "node_modules" / name / "package.json"
            if path.exists():
                found.append(f"{name} {json.loads(path.read_text())['version']}")
        if self.python():
            listed = subprocess.run(
                (self.python(), "-m", "pip", "list", "--format=json"), capture_output=True, timeout=60, check=False
            )
            wanted = {name.partition("<")[0].lower() for name in PYTHON_PACKAGES}
            found += [
                f"{each['name']} {each['version']}"
                for each in json.loads(listed.stdout or b"[]")
                if each["name"].lower().replace("_", "-") in wanted
            ]
        return found


def arguments(name: str, peers: Peers, *, quick: bool) -> list[str]:
    """What a benchmark is told; peers that are not there are left out."""
    managers = {
        "--pm2": peers.node("pm2"),
        "--supervisord": peers.python("supervisord"),
        "--circusd": peers.python("circusd"),
    }
    given: dict[str, dict[str, str]] = {
        "processes": managers,
        "survival": managers,
        "cluster": {"--pm2": peers.node("pm2")},
        "cron": {"--croner": peers.module("croner")},
        "jobs": {"--apscheduler": peers.python(), "--node-cron": peers.module("node-cron")},
    }
    less = {
        "processes": ["--sizes", "50:1", "--idle", "3", "--crashes", "8"],
        "survival": ["--kills", "4"],
        "cluster": ["--quick"],
        "jobs": ["--jobs", "1000", "--seconds", "10", "--idle", "5"],
        "cron": ["--rounds", "2"],
        "budgets": ["--rounds", "1", "--seconds", "3"],
        "schedule": ["--rounds", "1"],
    }
    more = {
        "processes": ["--sizes", "50:5", "500:3", "1000:2"],
        "survival": ["--rounds", "3"],
        "cluster": ["--seconds", "60"],
        "budgets": ["--seconds", "60"],
    }
    own = ["--no-install"] if name == "cluster" else []  # what can be had is there by now
    words = [word for flag, value in given.get(name, {}).items() if value for word in (flag, value)]
    return own + words + (less if quick else more).get(name, [])


def run(name: str, peers: Peers, *, quick: bool) -> tuple[str, Any, float]:
    """One benchmark: its table, its figures, the seconds it took. A failure is told, and the others go on."""
    target = RESULTS / f"{name}.json"
    target.unlink(missing_ok=True)
    command = [
        sys.executable,
        str(HERE / f"bench_{name}.py"),
        *arguments(name, peers, quick=quick),
        "--json",
        str(target),
    ]
    print("$", *command, file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        peers.reasons.append(f"{name}: not finished within {LIMIT / 60:.0f} minutes")
        return "", None, LIMIT
    peers.reasons += dict.fromkeys(f"{name}: {line}" for line in done.stderr.splitlines() if ": no " in line)
    if done.returncode:
        peers.reasons.append(f"{name}: ended with {done.returncode}: {' '.join(done.stderr.split())[-300:]}")
    figures = json.loads(target.read_text()) if target.exists() else None
    return done.stdout, figures, time.monotonic() - began


def as_markdown(text: str) -> str:
    """Tables as they are; columns of plain text keep their shape, without what a terminal was told meanwhile."""
    text = (text.partition("\nAll together:\n")[2] or text).strip()
    return text if "|" in text else f"```\n{text}\n```" if text else "–"


def machine() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{platform.platform()}, {cores} cores, {memory:.0f} GB, Python {python}, load {load:.1f} at the start"


def write(here: str, peers: Peers, parts: list[str], figures: dict[str, Any]) -> None:
    """The report, the figures, the picture."""
    told = ", ".join(peers.versions()) or "none"
    found = rows(figures)
    reasons = "\n".join(f"- {reason}" for reason in peers.reasons)
    tail = f"## What could not be measured\n\n{reasons}\n" if reasons else ""
    head = f"# rota beside its peers\n\n{here}\n\nPeers: {told}\n\n{LEGEND}\n\n{table(found)}\n"
    (RESULTS / "report.md").write_text("\n".join([head if found else head.partition(LEGEND)[0], *parts, tail]))
    kept = {"machine": here, "peers": told, "reasons": peers.reasons, **figures}
    (RESULTS / "results.json").write_text(json.dumps(kept, indent=1))
    if found:
        (RESULTS / "plot.svg").write_text(picture(found, TOOLS, here))


def main() -> int:
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(__doc__ or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of everything: some minutes")
    parser.add_argument("--only", nargs="+", choices=known, default=known)
    parser.add_argument("--no-install", action="store_true", help="only the peers that are there already")
    parser.add_argument("--clean", action="store_true", help="remove the peers afterwards")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    here, peers = machine(), Peers()
    if not options.no_install:
        peers.install()
    parts, figures = [], {}
    for name in options.only:
        text, found, seconds = run(name, peers, quick=options.quick)
        parts.append(f"## {name}\n\n{as_markdown(text)}\n\n({seconds:.0f} s)\n")
        figures[name] = found
        write(here, peers, parts, figures)  # each time: what was measured survives an interruption
    if options.clean:
        shutil.rmtree(PEERS)
    print((RESULTS / "report.md").read_text())
    return 0 if all(figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
