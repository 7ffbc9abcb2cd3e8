"""Libraries side by side: each measurement in a process of its own, rounds in turn, so that a busy machine disturbs all alike.

A benchmark calls `measure` with a table of contenders; run with `--contender NAME` it measures that one and prints JSON.
Peers are looked for in benchmarks/.peers/venv (made by benchmarks/run) and else in this interpreter; one that cannot be
imported is a "–".
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PEERS = Path(__file__).parent / ".peers" / "venv" / "bin" / "python"
LIMIT = 600.0
"""Seconds one measurement may take."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options all of them have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument(
        "--peers", default=str(PEERS) if PEERS.exists() else sys.executable, help="a Python that has the peers"
    )
    made.add_argument("--contender", help=argparse.SUPPRESS)
    made.add_argument("--json", metavar="FILE")
    return made


def alone(measure: Callable[[], Mapping[str, float]]) -> int:
    """In the process of one contender: measure, and say it."""
    try:
        print(json.dumps(measure()))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
    return 0


class Figure(float):
    """The median of what was measured, with the least and the greatest of it."""

    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Figure:
        made = cls(statistics.median(values))
        made.low, made.high = min(values), max(values)
        return made

    def shown(self, style: str) -> str:
        """As `style` writes it, and the spread where it can be seen."""
        middle, low, high = (style.format(value) for value in (float(self), self.low, self.high))
        return middle if low == high else f"{middle} ({low}–{high})"


def in_turn(
    script: str, contenders: Mapping[str, bool], peers: str, rounds: int, *extra: str
) -> dict[str, dict[str, Figure]]:
    """Measure everybody `rounds` times, one after the other in each round.

    Args:
        script: the benchmark's own file.
        contenders: names, and whether it is rota (which runs in this interpreter).
    """
    measured: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for _ in range(rounds):
        for name, ours in contenders.items():
            for figure, value in _one(script, name, sys.executable if ours else peers, extra).items():
                measured[name].setdefault(figure, []).append(value)
    return {name: {figure: Figure.of(values) for figure, values in found.items()} for name, found in measured.items()}


def table(title: str, found: Mapping[str, Mapping[str, Figure]], figures: Mapping[str, str]) -> str:
    """A Markdown table; `figures` maps each to how it is written, as "{:,.0f}"."""
    lines = [f"| {title} | {' | '.join(figures)} |", "| --- |" + " ---: |" * len(figures)]
    for name, row in found.items():
        cells = (row[figure].shown(style) if figure in row else "–" for figure, style in figures.items())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def heading(peers: str, packages: tuple[str, ...]) -> str:
    """What was measured on what."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "def v(n):\n"
        "    try: return m.version(n)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
    )
    listed = subprocess.run([peers, "-c", code, *packages], capture_output=True, text=True, check=True).stdout
    versions = [f"{name} {version}" for name, version in json.loads(listed).items() if version]
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    return f"Python {python}, {cores} cores, load {os.getloadavg()[0]:.1f}; peers: {', '.join(versions) or 'none'}"


def save(path: str | None, figures: Any) -> None:
    """Write the figures where they were asked for."""
    if path:
        Path(path).write_text(json.dumps(_plain(figures), indent=1))


def _plain(found: Any) -> Any:
    """Figures with their spread, as JSON."""
    if isinstance(found, Figure):
        return {"median": float(found), "low": found.low, "high": found.high}
    return {key: _plain(value) for key, value in found.items()} if isinstance(found, dict) else found


def _one(script: str, name: str, python: str, extra: tuple[str, ...]) -> dict[str, float]:
    done = subprocess.run(
        [python, script, "--contender", name, *extra], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.returncode:
        print(f"{name}: no figures: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return {}
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if "missing" in figures:
        print(f"{name}: no figures: {figures['missing']}", file=sys.stderr)
        return {}
    return figures
