"""The crash table with exit codes: rota's processes killed, the keeper and the daemon at once too, while apps end.

    python benchmarks/crash_exits.py [--apps 20] [--daemon 50] [--keeper 10] [--both 5] [--pause 0.005] [--seed 1]

Prints, as a Markdown table, for the daemon, the keeper, and both at once: how many apps were restarted, how many lines were
lost or doubled, how many exit codes of apps that ended meanwhile were known, and how long nobody supervised (from SIGKILL to
the first answer of the next daemon). Needs a checkout. Everything runs in a home of its own under /tmp, and is gone
afterwards.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.daemon.host import Host, alive, kill, python, shell, spec  # noqa: E402
from tests.daemon.lines import Count, count  # noqa: E402
from tests.eventually import eventually  # noqa: E402

from rota.process.spec import RestartSpec  # noqa: E402
from rota.wire.messages import Act  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVERS = 2
"""Apps told to end, each with a code of its own, right after each kill."""


@dataclass
class Row:
    """What came of one kind of kill."""

    victim: str
    kills: int = 0
    gaps: list[float] = field(default_factory=list)
    restarted: int = 0
    codes_known: int = 0
    codes_wrong: int = 0
    leavers: int = 0
    lines: Count = field(default_factory=lambda: Count(0, 0, 0, 0))

    def markdown(self) -> str:
        ordered = sorted(self.gaps)
        worst, middle = ordered[-1], statistics.median(ordered)
        known = f"{self.codes_known} of {self.leavers}" + (f", {self.codes_wrong} WRONG" if self.codes_wrong else "")
        cells = (
            self.victim, self.kills, self.restarted, f"{self.lines.written:,}", self.lines.lost, self.lines.doubled,
            self.lines.broken, known, f"{middle * 1000:.0f} ms", f"{worst * 1000:.0f} ms",
        )  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"


HEAD = (
    "| SIGKILL to | kills | apps restarted | lines written | lost | doubled | broken | exit codes known "
    "| supervised again: median | worst |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def kill_daemon(host: Host) -> Callable[[], object]:
    former = host.kill_daemon()
    return lambda: host.back(former, within=30)


def kill_keeper(host: Host) -> Callable[[], object]:
    former = host.daemon
    kill(host.keeper)
    return lambda: host.back(former, within=30)


def kill_both(host: Host) -> Callable[[], object]:
    keeper, daemon = host.keeper, host.daemon
    os.kill(daemon, signal.SIGSTOP)  # or it would take the keeper's place
    kill(keeper)
    kill(daemon)
    eventually(lambda: not alive(keeper) and not alive(daemon), every=0.001)
    return host.wake


VICTIMS = {"daemon": kill_daemon, "keeper": kill_keeper, "both": kill_both}


def tried(victim: str, kills: int, options: argparse.Namespace, rng: random.Random) -> Row:
    """A home of its own for each kind of kill."""
    path, runtime = tempfile.mkdtemp(prefix="rt-"), tempfile.mkdtemp(prefix="rt-", dir="/dev/shm")
    os.environ.update(ROTA_HOME=path, XDG_RUNTIME_DIR=runtime)
    host = Host(Path(path))
    row = Row(victim)
    try:
        host.wake()
        names = [f"app{index}" for index in range(options.apps)]
        host.start_all([spec(name, python("ticker", options.pause)) for name in names])
        pids = {name: host.pid(name) for name in names}
        for number in range(kills):
            _one(host, row, VICTIMS[victim], rng, number)
        row.restarted = sum(host.pid(name) != pid for name, pid in pids.items())
        row.restarted = max(row.restarted, sum(r.instance.restarts for r in host.records() if r.spec.name in pids))
        host.call(Act(action="stop", targets=("all",)))
        counts = [count(host.logs(name, "\nend ")) for name in names]
        row.lines = Count(*(sum(getattr(each, part) for each in counts) for part in Count.__dataclass_fields__))
        host.end()
    finally:
        host.destroy()
        shutil.rmtree(path)
        shutil.rmtree(runtime)
    return row


def _one(host: Host, row: Row, strike: Callable[[Host], Callable[[], object]], rng: random.Random, number: int) -> None:
    codes = {f"leaver{number}-{index}": rng.randint(1, 250) for index in range(LEAVERS)}
    policy = RestartSpec(autorestart=False)
    for name, code in codes.items():
        host.start(name, shell(f"trap 'exit {code}' TERM; echo up; while :; do sleep 0.01; done"), restart=policy)
    for name in codes:
        host.logs(name, "up")
    leaving = [host.pid(name) for name in codes]
    time.sleep(rng.uniform(0.0, 1.5))
    began = time.monotonic()
    back = strike(host)
    for pid in leaving:
        kill(pid, signal.SIGTERM)
    back()
    row.gaps.append(time.monotonic() - began)
    row.kills += 1
    row.leavers += len(codes)
    for name, code in codes.items():
        exit = host.reaches(name, "stopped").instance.last_exit
        assert exit is not None
        row.codes_known += exit.known and exit.code == code
        row.codes_wrong += exit.known and exit.code != code
    host.call(Act(action="delete", targets=tuple(codes)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--daemon", type=int, default=50, help="how often the daemon is killed")
    parser.add_argument("--keeper", type=int, default=10)
    parser.add_argument("--both", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between two lines of an app")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print(HEAD)
    for victim in VICTIMS:
        kills = getattr(options, victim)
        if kills:
            print(tried(victim, kills, options, rng).markdown(), flush=True)


if __name__ == "__main__":
    main()
