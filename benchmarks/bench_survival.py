"""The daemon dies: what becomes of the apps, of their output, and who looks after them then; rota beside its peers.

    python benchmarks/bench_survival.py [--pm2 P] [--supervisord P] [--circusd P] [--apps 20] [--kills 10] [--rounds 1]
                                        [--json FILE]

Apps that print a numbered line every 5 ms run under each tool, in turn. Its daemon gets SIGKILL, and in the same instant one
of the apps, too. Told from outside: how many of the other apps still run 5 s later (/proc), how many lines that they wrote
are not in the log (each notes how many it has written), and how long it takes until the dead app's replacement runs its
first instruction: that is when somebody looks after the apps again. Nobody types a command meanwhile; a tool that has not
replaced the app within 10 s gets a "–". `--kills` of the daemon go to a tool that comes back by itself, one to the others.
Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench_processes import compiled, running, shown
from tools import Tool, Work, chosen, scratch_of_our_own

TALKER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec now, pause = {0, 5000000};
    char text[512];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%s/%d", argv[1], (int)getpid());
    int notes = open(text, O_RDWR | O_CREAT, 0600);
    for (long written = 0;; written++) {
        int size = snprintf(text, sizeof text, "%lld %ld\n", now.tv_sec * 1000000000LL + now.tv_nsec, written);
        pwrite(notes, text, size, 0);
        size = snprintf(text, sizeof text, "%d %ld\n", (int)getpid(), written);
        if (write(1, text, size) != size) return 1;
        nanosleep(&pause, 0);
    }
}
"""
"""DIR: notes its own start and the lines it has written so far in DIR/PID, and prints `PID NUMBER`."""

PATIENCE = 10.0
"""Seconds in which a replacement has to come."""
OBSERVED = 5.0
"""Seconds after a kill at which the survivors are counted."""
SURVIVING, LOST, AGAIN = "apps surviving %", "lines lost", "supervised again ms"
TOTALS = ("kills", "lines written")


def notes(folder: Path) -> dict[int, tuple[int, int]]:
    """By pid: when it began (monotonic ns), how many lines it has written."""
    found = {}
    for path in folder.iterdir():
        with contextlib.suppress(ValueError):
            began, written = path.read_text().split()
            found[int(path.name)] = (int(began), int(written))
    return found


def missing(tool: Tool, work: Work, folder: Path, *, but: set[int]) -> tuple[int, int]:
    """Lines written, and those of them that are in no log. Of `but` nobody knows whether the last one was written."""
    seen: dict[int, set[int]] = {}
    for path in tool.log(work).parent.glob(f"{tool.log(work).stem}*"):
        for line in path.read_bytes().splitlines():
            pid, _, number = line.partition(b" ")
            if pid.isdigit() and number.isdigit():
                seen.setdefault(int(pid), set()).add(int(number))
    total = lost = 0
    for pid, (_, written) in notes(folder).items():
        if pid not in but:
            total += written
            lost += len(set(range(written)) - seen.get(pid, set()))
    return total, lost


def kill_daemon(tool: Tool, folder: Path, rng: random.Random) -> int:
    """SIGKILL to the daemon and to one app, as good as at once; the app's pid."""
    daemon = tool.pids()[0]
    victim = rng.choice([pid for pid in notes(folder) if os.path.exists(f"/proc/{pid}")])
    for pid in (daemon, victim):
        os.kill(pid, signal.SIGKILL)
    return victim


def replaced(folder: Path, known: set[int]) -> int | None:
    """When the first app that is not among the known ones began; None when there is none in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        fresh = [began for pid, (began, _) in notes(folder).items() if pid not in known]
        if fresh:
            return min(fresh)
        time.sleep(0.002)
    return None


def survive(tool: Tool, scratch: Path, talker: str, options: argparse.Namespace) -> None:
    """One tool's daemon, killed again and again as long as it comes back."""
    folder = scratch / f"notes-{tool.name}"
    folder.mkdir()
    work = Work("talker", (talker, str(folder)), options.apps)
    rng = random.Random(1)
    tool.begin(work)
    victims: set[int] = set()
    try:
        tool.start(work)
        while len(notes(folder)) < options.apps:
            time.sleep(0.01)
        original = set(notes(folder))
        for _ in range(options.kills):
            time.sleep(rng.uniform(0.3, 1.0))
            known, began = set(notes(folder)), time.monotonic_ns()
            victims.add(kill_daemon(tool, folder, rng))
            back = replaced(folder, known)
            if back is None:
                tool.reasons[AGAIN] = f"no replacement within {PATIENCE:g} s: its daemon stays dead until somebody acts"
                break
            tool.note(AGAIN, (back - began) / 1e6)
        time.sleep(max(0.0, OBSERVED - (PATIENCE if tool.reasons else 0.0)))
        alive = {pid for pid in running(str(folder)) if pid in original}
        tool.note(SURVIVING, 100 * len(alive) / len(original - victims))
        with contextlib.suppress(OSError):
            tool.stop(work) if AGAIN not in tool.reasons else None
    finally:
        finish(tool, work, folder)
    total, lost = missing(tool, work, folder, but=victims)
    for figure, value in zip((LOST, *TOTALS), (lost, len(victims), total), strict=True):
        tool.note(figure, value)
    shutil.rmtree(folder)


def finish(tool: Tool, work: Work, folder: Path) -> None:
    """No daemon, no app. What a dead daemon forgot is ended by pid."""
    if tool.name == "rota" or not tool.reasons:
        tool.end(work)
    for pid in running(str(folder)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if tool.reasons and tool.name == "PM2":
        tool.end(work)  # its `kill` starts a daemon first, and ends that


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rota", default="")
    parser.add_argument("--pm2", default="")
    parser.add_argument("--supervisord", default="")
    parser.add_argument("--circusd", default="")
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    columns: dict[str, dict[str, list[float]]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for _ in range(options.rounds):
        with scratch_of_our_own() as scratch:
            for tool in one_round(scratch, options):
                merge(columns.setdefault(tool.name, {}), tool.figures)
                reasons.setdefault(tool.name, {}).update(tool.reasons)
    print_rows(columns)
    for name, told in reasons.items():
        for figure, reason in told.items():
            print(f"{name}: no {figure}: {reason}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps({"tools": columns, "reasons": reasons}, indent=1))


def one_round(scratch: Path, options: argparse.Namespace) -> list[Tool]:
    """Each tool once. A peer that cannot be measured is told of; rota has to."""
    talker = compiled(TALKER, scratch / "talker")
    if not talker:
        raise SystemExit("a C compiler is needed (cc)")
    tools = chosen(scratch, options.rota, options.pm2, options.supervisord, options.circusd)
    for tool in tools:
        try:
            survive(tool, scratch, talker, options)
        except (OSError, ValueError, subprocess.SubprocessError, SystemExit) as error:
            if tool.name == "rota":
                raise
            tool.reasons[SURVIVING] = str(error)[:200]
    return tools


def print_rows(columns: dict[str, dict[str, list[float]]]) -> None:
    print(f"| figure | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row in (SURVIVING, LOST, AGAIN, *TOTALS):
        print(f"| {row} | {' | '.join(shown(figures.get(row, [])) for figures in columns.values())} |")


def merge(into: dict[str, list[float]], figures: dict[str, list[float]]) -> None:
    for figure, values in figures.items():
        into.setdefault(figure, []).extend(values)


if __name__ == "__main__":
    main()
