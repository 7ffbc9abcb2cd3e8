"""Ten thousand jobs: idle CPU, lateness of due jobs, and how long `rota list` takes; beside APScheduler 3 and node-cron.

    python benchmarks/bench_jobs.py [--jobs N] [--seconds S] [--idle S] [--apscheduler PYTHON] [--node-cron DIR] [--json FILE]

Every job is due once an hour, at a second of its own, and starts the same small program, which notes when it began and when
it was due. Lateness is the program's own account: from the due instant to its first instruction. `--apscheduler` names an
interpreter that has apscheduler 3, `--node-cron` a directory with node_modules/node-cron; a peer not named is left out.
Linux only: CPU time is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROTA = str(Path(sys.executable).with_name("rota"))
TICK = os.sysconf("SC_CLK_TCK")
PROGRAM = 'date "+%s.%N ${ROTA_RUN_DUE:-$1}" >> "$0"'

APSCHEDULER = """
import subprocess, sys, time
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
jobs, notes, idle = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "idle"
def work():
    subprocess.Popen(["/bin/sh", "-c", sys.argv[4], notes, str(int(time.time()))])
scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"misfire_grace_time": 60})
for i in range(jobs):
    when = {"month": 1, "day": 1, "hour": 0} if idle else {"minute": i // 60 % 60, "second": i % 60}
    scheduler.add_job(work, CronTrigger(timezone="UTC", **when))
scheduler.start()
print("ready", flush=True)
sys.stdin.read()
"""
NODE_CRON = """
const cron = require(process.cwd() + "/node_modules/node-cron");
const { spawn } = require("child_process");
const [jobs, notes, idle, program] = [Number(process.argv[2]), process.argv[3], process.argv[4] === "idle", process.argv[5]];
for (let i = 0; i < jobs; i++) {
  const when = idle ? "0 0 0 1 1 *" : `${i % 60} ${Math.floor(i / 60) % 60} * * * *`;
  cron.schedule(when, () => spawn("/bin/sh", ["-c", program, notes, String(Math.floor(Date.now() / 1000))], {stdio: "ignore"}),
    { timezone: "UTC" });
}
console.log("ready");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def idle_percent(pids: list[int], seconds: float) -> float:
    before = sum(map(cpu_seconds, pids))
    time.sleep(seconds)
    return round((sum(map(cpu_seconds, pids)) - before) / seconds * 100, 2)


def lateness(notes: Path) -> dict[str, float]:
    rows = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
    late = sorted((float(began) - float(due)) * 1000 for began, due in rows)
    if len(late) < 2:
        return {"runs": len(late)}
    return {
        "runs": len(late),
        "median_ms": round(statistics.median(late), 1),
        "p99_ms": round(late[min(int(len(late) * 0.99), len(late) - 1)], 1),
        "worst_ms": round(late[-1], 1),
    }


class Rota:
    """A daemon in a home of its own with so many jobs."""

    def __init__(self, jobs: int, notes: Path, idle: bool) -> None:
        self.home = tempfile.mkdtemp(prefix="rb-")
        self.environment = {**os.environ, "ROTA_HOME": self.home}
        file = Path(self.home) / "rota.toml"
        lines = []
        for i in range(jobs):
            cron = "0 0 0 1 1 *" if idle else f"{i % 60} {i // 60 % 60} * * * *"
            run = json.dumps(["/bin/sh", "-c", PROGRAM, str(notes)])
            lines.append(f'[jobs.j{i}]\nrun = {run}\ncron = "{cron}"\ntz = "UTC"\ntimeout = "1m"\n')
        file.write_text("\n".join(lines))
        began = time.perf_counter()
        self.call("-s", "start", str(file), timeout=300)
        self.start_seconds = round(time.perf_counter() - began, 1)
        self.pid = int((Path(self.home) / "rota.pid").read_text())

    def call(self, *argv: str, timeout: float = 60) -> str:
        done = subprocess.run(
            [ROTA, *argv], env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise SystemExit(f"rota {' '.join(argv)}: {done.stderr[-2000:]}")
        return done.stdout

    def list_ms(self) -> float:
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            self.call("list")
            taken.append((time.perf_counter() - began) * 1000)
        return round(statistics.median(taken))

    def close(self) -> None:
        """At once: deleting ten thousand jobs one by one is not what is measured here."""
        for name in ("keeper.pid", "rota.pid"):
            pid = int((Path(self.home) / name).read_text())
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)


def rota(jobs: int, seconds: float, idle: float) -> dict[str, object]:
    found: dict[str, object] = {}
    notes = Path(tempfile.mkdtemp(prefix="rbn-")) / "notes"
    house = Rota(jobs, notes, idle=True)
    try:
        found["start_s"] = house.start_seconds
        time.sleep(5)
        found["idle_percent"] = idle_percent([house.pid], idle)
        found["memory_mb"] = round(memory_mb(house.pid))
        found["list_ms"] = house.list_ms()
    finally:
        house.close()
    house = Rota(jobs, notes, idle=False)
    try:
        time.sleep(3)
        notes.unlink(missing_ok=True)
        found["busy_percent"] = idle_percent([house.pid], seconds)
        found |= lateness(notes)  # before the list, which takes the daemon's whole attention
        found["list_ms_busy"] = house.list_ms()
    finally:
        house.close()
    shutil.rmtree(notes.parent)
    return found


def peer(argv: list[str], cwd: str, jobs: int, seconds: float, idle: float) -> dict[str, object]:
    found: dict[str, object] = {}
    notes = Path(tempfile.mkdtemp(prefix="rbn-")) / "notes"
    for kind in ("idle", "due"):
        began = time.perf_counter()
        process = subprocess.Popen(
            [*argv, str(jobs), str(notes), kind, PROGRAM],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            if kind == "idle":
                found["start_s"] = round(time.perf_counter() - began, 1)
            time.sleep(3)
            if kind == "idle":
                found["idle_percent"] = idle_percent([process.pid], idle)
                found["memory_mb"] = round(memory_mb(process.pid))
            else:
                notes.unlink(missing_ok=True)
                found["busy_percent"] = idle_percent([process.pid], seconds)
        finally:
            process.kill()
            process.communicate()
    found |= lateness(notes)
    shutil.rmtree(notes.parent)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--apscheduler")
    parser.add_argument("--node-cron")
    parser.add_argument("--json")
    args = parser.parse_args()
    found = {"rota": rota(args.jobs, args.seconds, args.idle)}
    print(json.dumps(found), file=sys.stderr, flush=True)
    if args.apscheduler:
        found["APScheduler 3"] = peer([args.apscheduler, "-c", APSCHEDULER], "/", args.jobs, args.seconds, args.idle)
    if args.node_cron:
        with tempfile.NamedTemporaryFile("w", suffix=".cjs") as script:
            script.write(NODE_CRON)
            script.flush()
            found["node-cron"] = peer(["node", script.name], args.node_cron, args.jobs, args.seconds, args.idle)
    names = sorted({key for figures in found.values() for key in figures})
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| figure | " + " | ".join(found) + " |")
    print("| --- |" + " --- |" * len(found))
    for name in names:
        print(f"| {name} | " + " | ".join(str(figures.get(name, "-")) for figures in found.values()) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
