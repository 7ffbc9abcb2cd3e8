"""Functions for tests of isolated jobs: module level, so that a new process can import them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rota import Budget

if TYPE_CHECKING:
    from rota import Run


def note(run: Run, path: str, text: str = "") -> None:
    Path(path).write_text(f"{os.getpid()} {run.id} {run.attempt} {run.fence} {text}")


async def note_async(run: Run, path: str) -> None:
    await asyncio.sleep(0)
    Path(path).write_text(f"{os.getpid()} {run.due}")


def fail() -> None:
    raise ValueError("not today")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(7)


def spin(path: str) -> None:
    """Never looks, never sleeps; ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).write_text(str(os.getpid()))
    while True:
        pass


def clean_up(path: str) -> None:
    try:
        Path(path).write_text("started")
        time.sleep(60)
    finally:
        Path(path).write_text("cleaned up")


def with_child(path: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(path).write_text(str(child.pid))
    time.sleep(60)


def in_batches(run: Run) -> None:
    for batch in run.batches(range(30), size=10, pause="20ms"):
        assert len(batch) == 10


def take(limit: int) -> None:
    budget = Budget("shared", limit=limit, per="1h")
    while budget.try_take():
        pass
    Budget("memory", limit=1, per="1h", store="memory://").try_take()


def detach(path: str) -> None:
    """Leaves a process behind that is in a session of its own, and has all descriptors."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        Path(path).write_text(str(os.getpid()))
        os.close(writer)
        time.sleep(60)
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)  # it is in its session
