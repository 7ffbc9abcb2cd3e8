"""A worker among many: argv = database, log file, jobs, interval in seconds. Each run appends `job due fence pid` to the log."""

from __future__ import annotations

import os
import sys

from rota import Run, Scheduler

database, log, jobs, interval = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
rota = Scheduler(f"sqlite:///{database}", name="shop", lease="2s", shutdown_timeout="2s")
file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def work(run: Run) -> None:
    assert run.due is not None
    os.write(file, f"{run.job} {run.due.timestamp():.6f} {run.fence} {os.getpid()}\n".encode())


for number in range(jobs):
    rota.every(interval, work, name=f"job-{number}", keep_runs=100_000, overlap="allow", misfire_grace="5s")

rota.run_forever()
