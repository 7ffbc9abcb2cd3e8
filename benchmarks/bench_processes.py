"""rota beside PM2, supervisord and circus (and a bare loop): start, list, stop, memory, idle CPU, how soon a crashed process
is back, how fast the output of one flooding app reaches its file, and what `import rota` costs.

    python benchmarks/bench_processes.py [--pm2 P] [--supervisord P] [--circusd P] [--sizes 50:3 1000:1] [--json FILE]

Every tool does the same work in a home of its own, in turn, round after round; processes are counted in /proc, never by the
tool's word, and a start ends when they all run. Figures are medians with the spread behind them; a column whose program was
not named is left out. `raw` is what the machine allows: a Python loop that only spawns, an interpreter that only starts, a
loop that only waits and spawns again, a shell's `>`. `benchmarks/run` installs the peers and does it all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools import Tool, Work, chosen, scratch_of_our_own, timed

if TYPE_CHECKING:
    from collections.abc import Callable

STAMPER = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    char name[512];
    snprintf(name, sizeof name, "%s/%d", argv[1], (int)getpid());
    FILE *f = fopen(name, "w");
    fprintf(f, "%lld\n", (long long)t.tv_sec * 1000000000LL + t.tv_nsec);
    fclose(f);
    for (;;) pause();
}
"""


FLOODER = r"""
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    static char block[100000];
    memset(block, 'x', sizeof block);
    for (int at = 99; at < sizeof block; at += 100) block[at] = '\n';
    for (long left = atol(argv[1]); left > 0; left -= sizeof block)
        for (long done = 0; done < sizeof block;) {
            long now = write(1, block + done, sizeof block - done);
            if (now < 0) return 1;
            done += now;
        }
    for (;;) pause();
}
"""
SPLICER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>
int main(void) {
    fcntl(0, F_SETPIPE_SZ, 1 << 20);
    while (splice(0, 0, 1, 0, 1 << 20, SPLICE_F_MOVE) > 0) continue;
    return 0;
}
"""
FLOOD = 1_000_000_000


def running(mark: str) -> list[int]:
    """Processes whose command line holds the mark."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in Path(entry.path, "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def wait_for(count: int, mark: str, within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while len(running(mark)) != count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(running(mark))} processes, {count} expected")
        time.sleep(0.01)


def pss(pid: int) -> float:
    """Proportional set size, MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(tool: Tool, size: int, idle: float) -> None:
    """One round with `size` processes."""
    mark = f"{1_000_000 + size}"
    work = Work("sleeper", ("/bin/sleep", mark), size)
    tool.begin(work)
    try:
        began = time.perf_counter()
        took = tool.start(work)
        if len(running(mark)) != size:
            wait_for(size, mark)
            took = time.perf_counter() - began
        tool.note("start", took)
        for _ in range(5):
            tool.note("list", tool.list())
        before = [cpu_ticks(pid) for pid in tool.pids()]
        time.sleep(idle)
        ticks = sum(cpu_ticks(pid) for pid in tool.pids()) - sum(before)
        tool.note("idle CPU %", ticks / os.sysconf("SC_CLK_TCK") / idle * 100)
        tool.note("PSS MB", sum(pss(pid) for pid in tool.pids()))
        tool.note("stop", tool.stop(work))
        wait_for(0, mark)
    finally:
        tool.end(work)


def crash(tool: Tool, scratch: Path, stamper: str, times: int) -> None:
    """SIGKILL to the first instruction of the replacement, milliseconds."""
    stamps = scratch / f"stamps-{tool.name}"
    shutil.rmtree(stamps, ignore_errors=True)
    stamps.mkdir()
    work = Work("stamper", (stamper, str(stamps)))
    tool.begin(work)
    try:
        tool.start(work)
        for _ in range(times):
            (victim,) = wait_for_stamp(stamps, 1)
            time.sleep(0.15)
            (stamps / victim).unlink()
            killed = time.monotonic_ns()
            os.kill(int(victim), signal.SIGKILL)
            (fresh,) = wait_for_stamp(stamps, 1)
            tool.note("crash to replacement ms", (int((stamps / fresh).read_text()) - killed) / 1e6)
    finally:
        tool.end(work)


def flood(tool: Tool, flooder: str) -> None:
    """One app writes 100-byte lines as fast as it can: GB/s from the first byte in the file to the last, and the daemon's CPU
    seconds for it."""
    work = Work("flooder", (flooder, str(FLOOD)))
    for old in tool.log(work).parent.glob("flooder*"):
        old.unlink()
    tool.begin(work)
    try:
        before = [cpu_ticks(pid) for pid in tool.pids()]
        starting = threading.Thread(target=tool.start, args=(work,))
        starting.start()
        speed, size = rate(tool.log(work))
        starting.join()
        ticks = sum(cpu_ticks(pid) for pid in tool.pids()) - sum(before)
        tool.note("flood GB/s", speed)
        tool.note("flood CPU s/GB", ticks / os.sysconf("SC_CLK_TCK") / (size / 1e9))
    finally:
        tool.end(work)
        for old in tool.log(work).parent.glob("flooder*"):
            old.unlink()


def rate(log: Path) -> tuple[float, int]:
    """GB/s from the first look that finds something to the one that finds all, and how much that is."""
    there = wait_for_size(log, 1)
    began = time.perf_counter()
    size = wait_for_size(log, FLOOD)
    return (size - there) / (time.perf_counter() - began) / 1e9, size


def wait_for_size(log: Path, size: int) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = log.stat().st_size if log.exists() else 0
        if found >= size:
            return found
        time.sleep(0.002)
    raise SystemExit(f"{log}: {found} of {size} bytes")


def raw_flood(flooder: str, splicer: str, scratch: Path) -> tuple[float, float]:
    """GB/s and CPU seconds per GB of the shortest way from a pipe to a file."""
    path = scratch / "raw.log"
    with path.open("wb") as file:
        talking = subprocess.Popen([flooder, str(FLOOD)], stdout=subprocess.PIPE)
        moving = subprocess.Popen([splicer], stdin=talking.stdout, stdout=file)
        speed, _ = rate(path)
    talking.kill()
    talking.wait()
    assert talking.stdout is not None
    talking.stdout.close()
    _, status, usage = os.wait4(moving.pid, 0)
    moving.returncode = status
    path.unlink()
    return speed, (usage.ru_utime + usage.ru_stime) / (FLOOD / 1e9)


def import_time(statement: str) -> float:
    """An interpreter that starts and does this, seconds."""
    return timed([sys.executable, "-I", "-c", statement])


def wait_for_stamp(stamps: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [entry.name for entry in stamps.iterdir() if entry.read_text().endswith("\n")]
        if len(found) == count:
            return found
        time.sleep(0.001)
    raise SystemExit("no replacement within 30 s")


def raw_start(size: int) -> float:
    """A Python program that spawns `size` sleepers and ends, as a whole command."""
    program = (
        "import subprocess,sys\n"
        f"for _ in range({size}): subprocess.Popen(['/bin/sleep','1999999'],start_new_session=True).returncode=0"
    )
    took = timed([sys.executable, "-I", "-S", "-c", program])
    wait_for(size, "1999999")
    for pid in running("1999999"):
        os.kill(pid, signal.SIGKILL)
    wait_for(0, "1999999")
    return took


def raw_list() -> float:
    return timed([sys.executable, "-I", "-S", "-c", "pass"])


def raw_crash(stamper: str, scratch: Path, times: int) -> list[float]:
    """The shortest loop there is in Python: wait, spawn again."""
    stamps = scratch / "stamps-raw"
    stamps.mkdir(exist_ok=True)
    found = []
    child = subprocess.Popen([stamper, str(stamps)])
    for _ in range(times):
        (victim,) = wait_for_stamp(stamps, 1)
        (stamps / victim).unlink()
        killed = time.monotonic_ns()
        child.kill()
        child.wait()
        child = subprocess.Popen([stamper, str(stamps)])
        (fresh,) = wait_for_stamp(stamps, 1)
        found.append((int((stamps / fresh).read_text()) - killed) / 1e6)
    child.kill()
    child.wait()
    return found


def shown(values: list[float]) -> str:
    """The median, and the spread where there is any."""
    if not values:
        return "–"
    digits = (
        0 if all(value == int(value) for value in values) else 3 if max(values) < 1 else 2 if max(values) < 100 else 0
    )
    middle, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rota", default=shutil.which("rota") or str(Path(sys.executable).with_name("rota")))
    parser.add_argument("--pm2", default="", help="the pm2 program, from `npm install pm2` in a scratch directory")
    parser.add_argument("--supervisord", default="", help="the supervisord program")
    parser.add_argument("--circusd", default="", help="the circusd program")
    parser.add_argument("--sizes", nargs="+", default=["50"], help="processes, or PROCESSES:ROUNDS")
    parser.add_argument("--rounds", type=int, default=3, help="for sizes that do not say")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds over which idle CPU is measured")
    parser.add_argument("--crashes", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    reasons: dict[str, dict[str, str]] = {}
    with scratch_of_our_own() as scratch:
        stamper, flooder = compiled(STAMPER, scratch / "stamper"), compiled(FLOODER, scratch / "flooder")
        splicer = compiled(SPLICER, scratch / "splicer")
        for number, words in enumerate(options.sizes):
            size, _, rounds = words.partition(":")
            programs = (stamper, flooder, splicer) if number == 0 else ("", "", "")
            print(f"{size} processes", file=sys.stderr, flush=True)
            results[size], told = rounds_of(options, scratch, int(size), int(rounds or options.rounds), *programs)
            reasons |= {f"{size} processes, {name}": found for name, found in told.items() if found}
    for size, columns in results.items():
        print(f"\n### {size} processes\n")
        print_table(columns)
    if options.json:
        options.json.write_text(json.dumps({"sizes": results, "reasons": reasons}, indent=1))


def compiled(source: str, target: Path) -> str:
    """The program, "" where there is no C compiler."""
    command = ["cc", "-O2", "-x", "c", "-", "-o", str(target)]
    try:
        done = subprocess.run(command, input=source.encode(), check=False, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return ""
    return str(target) if done.returncode == 0 else ""


def rounds_of(
    options: argparse.Namespace, scratch: Path, size: int, rounds: int, stamper: str, flooder: str, splicer: str
) -> tuple[dict[str, dict[str, list[float]]], dict[str, dict[str, str]]]:
    """The figures by tool, `raw` among them; and why there is none, by tool and figure."""
    tools = chosen(scratch, options.rota, options.pm2, options.supervisord, options.circusd)
    raw: dict[str, list[float]] = {}
    for _ in range(rounds):
        raw.setdefault("start", []).append(raw_start(size))
        raw.setdefault("list", []).extend(raw_list() for _ in range(5))
        for tool in tools:
            attempt(tool, "start", lambda tool=tool: measure(tool, size, options.idle))
        if flooder:
            speed, cost = raw_flood(flooder, splicer, scratch)
            raw.setdefault("flood GB/s", []).append(speed)
            raw.setdefault("flood CPU s/GB", []).append(cost)
            for tool in tools:
                attempt(tool, "flood GB/s", lambda tool=tool: flood(tool, flooder))
    if stamper:
        raw["crash to replacement ms"] = raw_crash(stamper, scratch, options.crashes)
        for tool in tools:
            attempt(tool, "crash to replacement ms", lambda tool=tool: crash(tool, scratch, stamper, options.crashes))
        raw["import"] = [import_time("pass") for _ in range(15)]
        tools[0].figures["import"] = [import_time("import rota") for _ in range(15)]
    for tool in tools:
        for figure, reason in tool.reasons.items():
            print(f"{tool.name}: no {figure}: {reason}", file=sys.stderr)
    figures = {"raw": raw, **{tool.name: tool.figures for tool in tools}}
    return figures, {tool.name: tool.reasons for tool in tools}


def attempt(tool: Tool, figure: str, work: Callable[[], None]) -> None:
    """A peer that cannot do it has no figure, and the reason is told; that is no reason to end."""
    try:
        work()
    except (OSError, subprocess.SubprocessError, ValueError, SystemExit) as error:
        if tool.name == "rota":
            raise
        tool.reasons[figure] = str(error)[:200]


def print_table(columns: dict[str, dict[str, list[float]]]) -> None:
    rows = list(dict.fromkeys(row for figures in columns.values() for row in figures))
    peers = [name for name in columns if name != "rota"]
    print(f"| figure | {' | '.join(columns)} | {' | '.join(f'rota ÷ {peer}' for peer in peers)} |")
    print("|---|" + "---|" * (len(columns) + len(peers)))
    for row in rows:
        cells = [shown(figures.get(row, [])) for figures in columns.values()]
        ratios = [ratio(columns["rota"].get(row, []), columns.get(other, {}).get(row, [])) for other in peers]
        unit = " s" if row in ("start", "stop", "list", "import") else ""
        print(f"| {row}{unit} | {' | '.join(cells)} | {' | '.join(ratios)} |")


def ratio(ours: list[float], theirs: list[float]) -> str:
    if not ours or not theirs or not statistics.median(theirs):
        return "–"
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


if __name__ == "__main__":
    main()
