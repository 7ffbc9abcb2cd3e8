"""Time of one `next`, beside cronsim and croniter (and PM2's croner), in one run.

    python benchmarks/bench_cron.py [--rounds 5] [--croner DIR] [--json FILE]

`--croner` names a directory with node_modules/croner, as `npm install pm2` makes it; that one is measured in node.

CPU time, best of several rounds taken in turn, so that a busy machine disturbs all alike. A step is one due time after
another, which is what schedulers do. Prints a Markdown table; with --json the figures as well.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from rota.jobs.plan import Cursor, plan, schedule_of
from rota.jobs.spec import JobSpec
from rota.timing.cron import Cron
from rota.timing.cron_parse import parse

if TYPE_CHECKING:
    from collections.abc import Callable

# The first eight are the common ones over which the geometric mean is taken.
EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "0 9 * * 1-5",
    "30 2 * * *",
    "0 0 1 * *",
    "0 0 29 2 *",
    "0 0 13 * 5",
    "*/10 * * * * *",
    "0 0 L * *",
    "0 0 * * MON#1",
]
COMMON = 8
ZONES = ["UTC", "Europe/Berlin"]
LIMITS = {"UTC": 8.0, "Europe/Berlin": 15.0}
START = datetime(2024, 1, 1, tzinfo=UTC)
STEPS = {"rota": 1500, "cronsim": 300, "croniter": 200, "croner": 100}


def rota_walk(expression: str, zone: str, steps: int) -> Callable[[], None]:
    cron = Cron(expression, zone)

    def walk() -> None:
        moment = START
        for _ in range(steps):
            moment = cron.next(moment) or START

    return walk


def cronsim_walk(expression: str, zone: str, steps: int) -> Callable[[], None]:
    def walk() -> None:
        found = CronSim(expression, START.astimezone(ZoneInfo(zone)))
        for _ in range(steps):
            next(found)

    return walk


def croniter_walk(expression: str, zone: str, steps: int) -> Callable[[], None]:
    def walk() -> None:
        found = croniter(
            expression,
            START.astimezone(ZoneInfo(zone)),
            second_at_beginning=True,
            implement_cron_bug=True,
            ret_type=datetime,
        )
        for _ in range(steps):
            found.get_next()

    return walk


CRONER = """
const croner = require(process.argv[1] + "/node_modules/croner");
const Cron = croner.Cron || croner;
const [zone, rounds, steps, expressions] = JSON.parse(process.argv[2]);
const best = {};
for (let round = 0; round < rounds; round++) for (const expression of expressions) {
  const cron = new Cron(expression, { timezone: zone });
  let at = new Date("2024-01-01T00:00:00Z");
  const began = process.cpuUsage();
  for (let i = 0; i < steps; i++) at = cron.nextRun ? cron.nextRun(at) : cron.next(at);
  const used = process.cpuUsage(began);
  const each = (used.user + used.system) / steps;
  best[expression] = Math.min(best[expression] ?? Infinity, each);
}
console.log(JSON.stringify(best));
"""


def croner(folder: str, zone: str, rounds: int) -> dict[str, float]:
    """Microseconds per next, by expression; empty where node or croner cannot do it."""
    given = json.dumps([zone, rounds, STEPS["croner"], EXPRESSIONS[:COMMON]])
    command = ["node", "-e", CRONER, folder, given]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        print(f"croner: no figures: {' '.join(said)[-200:]}", file=sys.stderr)
        return {}
    found: dict[str, float] = json.loads(done.stdout)
    return found


WALKS = {"rota": rota_walk, "cronsim": cronsim_walk, "croniter": croniter_walk}


def cpu(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(zone: str, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds per next, by expression and library."""
    table: dict[str, dict[str, float]] = {}
    for expression in EXPRESSIONS:
        walks = {name: make(expression, zone, STEPS[name]) for name, make in WALKS.items()}
        best = dict.fromkeys(walks, math.inf)
        for _ in range(rounds):
            for name, walk in walks.items():
                best[name] = min(best[name], cpu(walk) / STEPS[name] * 1e6)
        table[expression] = best
    return table


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def per_call(work: Callable[[], object], times: int, rounds: int) -> float:
    """Microseconds per call."""

    def repeat() -> None:
        for _ in range(times):
            work()

    return min(cpu(repeat) for _ in range(rounds)) / times * 1e6


def others(rounds: int) -> dict[str, float]:
    """Parsing, walking back, explaining and planning, microseconds each."""
    cron = Cron("*/5 9-17 * * MON-FRI", "Europe/Berlin")
    schedule = schedule_of(JobSpec(cron="30 2 * * *", tz="Europe/Berlin"), "job", "host")
    assert schedule is not None
    now = START.timestamp() + 8 * 3600
    cursor, late = Cursor(now - 7200), Cursor(now - 365 * 86400)
    return {
        "parse `*/5 9-17 * * MON-FRI`": per_call(lambda: parse("*/5 9-17 * * MON-FRI"), 500, rounds),
        "the same, cronsim": per_call(lambda: CronSim("*/5 9-17 * * MON-FRI", START), 500, rounds),
        "the same, croniter": per_call(lambda: croniter("*/5 9-17 * * MON-FRI", START), 500, rounds),
        "`Cron(...)` of a known text": per_call(lambda: Cron("*/5 9-17 * * MON-FRI", "Europe/Berlin"), 2000, rounds),
        "`prev`, Europe/Berlin": per_call(lambda: cron.prev(START), 2000, rounds),
        "`explain`": per_call(cron.explain, 500, rounds),
        "`plan`, nothing due": per_call(lambda: plan(schedule, cursor, now), 1000, rounds),
        "`plan` after a year of downtime": per_call(lambda: plan(schedule, late, now), 300, rounds),
    }


def render(zone: str, table: dict[str, dict[str, float]]) -> str:
    names = [*WALKS, *(["croner"] if all("croner" in row for row in list(table.values())[:COMMON]) else [])]
    lines = [
        f"### {zone}: µs CPU per `next`",
        "",
        f"| expression | {' | '.join(names)} |",
        "| --- |" + " ---: |" * len(names),
    ]
    for text, row in table.items():
        lines.append(f"| `{text}` | {' | '.join(f'{row[name]:.1f}' if name in row else '–' for name in names)} |")
    means = means_of(table)
    lines.append(
        f"| **geometric mean of the first {COMMON}** | {' | '.join(f'**{means[name]:.1f}**' for name in names)} |"
    )
    lines.append("")
    lines.append(f"Target for rota: under {LIMITS[zone]:g} µs: {'met' if means['rota'] < LIMITS[zone] else 'MISSED'}.")
    return "\n".join(lines)


def means_of(table: dict[str, dict[str, float]]) -> dict[str, float]:
    common = [table[text] for text in EXPRESSIONS[:COMMON]]
    return {name: geometric_mean([row[name] for row in common]) for name in table[EXPRESSIONS[0]]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--croner", metavar="DIR", help="where node_modules/croner is")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("cronsim", "croniter"))
    print(f"Python {platform.python_version()}, {versions}; CPU time, best of {options.rounds}\n")
    tables = {zone: measure(zone, options.rounds) for zone in ZONES}
    for zone in ZONES if options.croner else ():
        for text, value in croner(options.croner, zone, options.rounds).items():
            tables[zone][text]["croner"] = value
    for zone, table in tables.items():
        print(render(zone, table), end="\n\n")
    rest = others(options.rounds)
    print("| other calls | µs |\n| --- | ---: |")
    print("\n".join(f"| {name} | {value:.1f} |" for name, value in rest.items()))
    means = {zone: means_of(table) for zone, table in tables.items()}
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"next": tables, "means": means, "other": rest, "limits": LIMITS}, file, indent=1)
    return 0 if all(means[zone]["rota"] < LIMITS[zone] for zone in ZONES) else 1


if __name__ == "__main__":
    sys.exit(main())
