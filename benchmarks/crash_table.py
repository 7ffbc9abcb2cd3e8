"""What survives: SIGKILL to the daemon and to the keeper under load, with apps that log numbered lines.

    python benchmarks/crash_table.py [--daemon 50] [--keeper 10] [--apps 20] [--pause 0.3]

Counts from outside: pids in /proc, lines in the log files (rotated ones included). "Supervised again" is the time from the
kill until a new daemon answers on the socket.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WRITER = """
import sys, time
n = 0
while True:
    sys.stdout.write(f"line {n}\\n"); sys.stdout.flush(); n += 1; time.sleep(0.005)
"""


def answers(home: Path) -> bool:
    """Whether a daemon accepts and answers a ping."""
    with socket.socket(socket.AF_UNIX) as opened:
        opened.settimeout(2)
        try:
            opened.connect(str(home / "rota.sock"))
            body = b'{"verb":"ping"}'
            opened.sendall(b"J" + len(body).to_bytes(4, "big") + body)
            return bool(opened.recv(1))
        except OSError:
            return False


def read_pid(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def kill(home: Path, name: str) -> float:
    """SIGKILL the daemon or the keeper; seconds until a daemon answers again."""
    victim = read_pid(home / name)
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    while time.monotonic() - began < 30:
        if read_pid(home / name) not in (0, victim) and answers(home):
            return time.monotonic() - began
        time.sleep(0.002)
    raise SystemExit(f"{name} did not come back within 30 s")


def pids(rota: str, environ: dict[str, str]) -> dict[int, int]:
    listed = subprocess.run([rota, "jlist"], env=environ, capture_output=True, check=True, timeout=60)
    return {record["pm_id"]: record["pid"] for record in json.loads(listed.stdout)}


def lines_of(logs: Path, app: str) -> list[int]:
    """The numbers an app's lines carry, over all its log files."""
    found: list[int] = []
    for path in sorted(logs.glob(f"{app}-out*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [int(line.split()[1]) for line in data.splitlines() if line.startswith(b"line ")]
    return found


def measure(home: Path, rota: str, options: argparse.Namespace) -> None:
    environ = {**os.environ, "ROTA_HOME": str(home)}
    writer = home / "writer.py"
    writer.write_text(WRITER)
    names = [f"writer-{n}" for n in range(options.apps)]
    apps = [{"name": name, "script": str(writer), "interpreter": sys.executable} for name in names]
    (home / "apps.json").write_text(json.dumps({"apps": apps}))
    quiet = {"env": environ, "check": True, "timeout": 120, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([rota, "start", str(home / "apps.json")], **quiet)
    before = pids(rota, environ)
    again: dict[str, list[float]] = {"rota.pid": [], "keeper.pid": []}
    kills = ["rota.pid"] * options.daemon + ["keeper.pid"] * options.keeper
    chance = random.Random(1)
    chance.shuffle(kills)
    for name in kills:
        time.sleep(chance.uniform(0.05, options.pause))
        again[name].append(kill(home, name))
    after = pids(rota, environ)
    subprocess.run([rota, "stop", "all"], **quiet)
    lost = repeated = total = 0
    for name in names:
        numbers = lines_of(home / "logs", name)
        total += len(numbers)
        lost += (max(numbers) + 1) - len(set(numbers))
        repeated += len(numbers) - len(set(numbers))
    subprocess.run([rota, "kill"], **quiet)
    restarted = sum(before[id] != after.get(id) for id in before)
    print("| killed | times | supervised again, ms: median (max) |\n|---|---|---|")
    for name, who in (("rota.pid", "daemon"), ("keeper.pid", "keeper")):
        if again[name]:
            times = [value * 1000 for value in again[name]]
            print(f"| {who} | {len(times)} | {statistics.median(times):.0f} ({max(times):.0f}) |")
    print(f"\n{options.apps} apps: {restarted} restarted; {total} lines: {lost} lost, {repeated} repeated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", type=int, default=50)
    parser.add_argument("--keeper", type=int, default=10)
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.3, help="longest wait before a kill, seconds")
    parser.add_argument("--rota", default=shutil.which("rota") or str(Path(sys.executable).with_name("rota")))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rota-crash-") as directory:
        measure(Path(directory), options.rota, options)


if __name__ == "__main__":
    main()
