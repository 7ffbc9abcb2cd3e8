"""A long life in a few minutes: crashes, log lines and job runs without end, while memory, descriptors and files are watched.

    python benchmarks/soak.py [--minutes 4] [--json FILE]

Everything happens in a scratch home, at a pace that a busy day does not reach: some ten crashes, 6,000 lines and twenty-four job
runs a second; twenty minutes are 10,000 restarts, 7,000,000 lines and 28,000 runs. The first quarter is warming up; from then on
the daemon's and the keeper's memory may not grow by more than a tenth, their descriptors not at all, and ledger and logs have to
stay bounded. The exit code tells. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rota.errors import DaemonUnreachable
from rota.jobs.spec import JobSpec
from rota.process.spec import LogSpec, RestartSpec
from rota.torture import processes
from rota.torture.numbered import Chorus
from rota.torture.scratch import Scratch, shell, spec
from rota.wire.messages import Jlist, Runs

if TYPE_CHECKING:
    from collections.abc import Callable

CRASHERS, TALKERS, JOBS = 2, 3, 24
MB = 2**20
KEEP, LOG_SIZE = 4, MB
EVERY = 3.0
GROWTH = 0.10
SLACK = {"daemon MB": 1.0, "keeper MB": 0.5, "daemon fds": 12.0, "keeper fds": 12.0}
"""What one sample may differ by for the work that is under way in that instant."""
LOGS_LIMIT = TALKERS * (KEEP + 2) * LOG_SIZE * 2 / MB


class Sample(NamedTuple):
    """One look."""

    at: float
    figures: dict[str, float]


def begin(scratch: Scratch) -> Chorus:
    scratch.wake()
    for_ever = RestartSpec(max_restarts=10**9, restart_delay=0.15)
    crash = shell("echo crash; exit 3")
    scratch.start(*(spec(f"crasher-{number}", crash, restart=for_ever) for number in range(CRASHERS)))
    once = RestartSpec(autorestart=False)
    job = JobSpec(every=1.0, keep_runs=20)
    scratch.start(
        *(spec(f"job-{number}", ("/bin/true",), job=job, restart=once, autostart=False) for number in range(JOBS))
    )
    logs = LogSpec(max_size=LOG_SIZE, keep=KEEP, compress=True)
    return Chorus(
        scratch, [f"talker-{number}" for number in range(TALKERS)], pause=0.01, batch=20, width=100, logs=logs
    )


def sample(scratch: Scratch, began: float) -> Sample:
    keeper, daemon = scratch.owners()
    home = Path(scratch.home.path)
    return Sample(
        time.monotonic() - began,
        {
            "daemon MB": processes.memory(daemon) / MB,
            "keeper MB": processes.memory(keeper) / MB,
            "daemon fds": processes.descriptors(daemon),
            "keeper fds": processes.descriptors(keeper),
            "ledger MB": sum(path.stat().st_size for path in home.glob("rota.db*")) / MB,
            "logs MB": size_of(home / "logs"),
            "files": sum(len(files) for _, _, files in os.walk(home)),
        },
    )


def size_of(folder: Path) -> float:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                continue  # rotated away meanwhile
    return total / MB


def live(scratch: Scratch, seconds: float) -> list[Sample]:
    began, samples = time.monotonic(), []
    while time.monotonic() - began < seconds:
        samples.append(sample(scratch, began))
        scratch.ask(Jlist())
        print(f"{samples[-1].at:5.0f} s  {samples[-1].figures['daemon MB']:.1f} MB", file=sys.stderr)
        time.sleep(EVERY)
    return samples


def verdicts(samples: list[Sample]) -> dict[str, tuple[float, float, bool]]:
    """By figure: the median of the second quarter, of the last one, and whether that is good enough."""
    quarter = max(1, len(samples) // 4)
    found = {}
    for name in samples[0].figures:
        values = [each.figures[name] for each in samples]
        early, late = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        good: dict[str, Callable[[], bool]] = {
            "logs MB": lambda late=late: late <= LOGS_LIMIT,  # type: ignore[misc]
            "ledger MB": lambda early=early, late=late: late <= max(early * 1.5, 16),  # type: ignore[misc]
            "files": lambda early=early, late=late: late <= early * 1.5,  # type: ignore[misc]
        }
        flat = late - early <= max(early * GROWTH, SLACK.get(name, 0))
        found[name] = (early, late, good[name]() if name in good else flat)
    return found


def work_done(scratch: Scratch, chorus: Chorus) -> dict[str, int]:
    records = scratch.records()
    runs = scratch.ask(Runs(limit=1))
    return {
        "restarts": sum(record.instance.restarts for record in records if record.spec.name.startswith("crasher")),
        "lines": sum(chorus.written(name) for name in chorus.names),
        "job runs": max((row["id"] for row in runs), default=0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scratch = Scratch()
    try:
        chorus = begin(scratch)
        samples = live(scratch, options.minutes * 60)
        done = work_done(scratch, chorus)
        chorus.undisturbed()
        found = verdicts(samples)
        try:
            scratch.end()
        except DaemonUnreachable as error:
            print(error, file=sys.stderr)
            return 1
    finally:
        scratch.destroy()
    print(", ".join(f"{count:,} {name}" for name, count in done.items()), f"in {options.minutes:g} minutes\n")
    print("| figure | second quarter | last quarter | flat or bounded |\n|---|---|---|---|")
    for name, (early, late, good) in found.items():
        print(f"| {name} | {early:.1f} | {late:.1f} | {'yes' if good else 'NO'} |")
    if options.json:
        options.json.write_text(json.dumps({"done": done, "samples": [each._asdict() for each in samples]}, indent=1))
    return 0 if all(good for _, _, good in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
