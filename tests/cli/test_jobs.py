"""runs, run, rerun, pause, resume, cancel from the command line."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import PROGRAM
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota

JOB = "import sys\nprint('working', flush=True)\nsys.exit(int(sys.argv[1]))\n"
LONG = "import time\nprint('working', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def jobs(warm: Rota) -> Rota:
    rota = warm
    rota.write("job.py", JOB)
    rota.write("long.py", LONG)
    given = {"cron_restart": "0 2 * * *", "autorestart": False, "autostart": False}
    apps = [{"name": f"exits-{code}", "script": "job.py", "args": [str(code)], **given} for code in (0, 4)]
    rota.write("jobs.json", json.dumps([*apps, {"name": "long", "script": "long.py", **given}]))
    rota.ok("start", "jobs.json")
    return rota


def runs(rota: Rota, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rota.ok("runs", "--json", *words).splitlines()]


def test_a_run_is_followed_and_its_code_is_ours(jobs: Rota) -> None:
    done = jobs("run", "exits-4")
    assert done.returncode == 4
    assert "working\n" in done.stdout
    assert jobs("run", "exits-0").returncode == 0
    second, first = runs(jobs, "--limit", "2")
    assert jobs("rerun", str(first["id"])).returncode == 4
    assert [run["exit_code"] for run in runs(jobs, "--limit", "3")] == [4, 0, 4]
    assert [run["job"] for run in runs(jobs, "--failed", "--limit", "2")] == ["exits-4", "exits-4"]
    assert [run["id"] for run in runs(jobs, "exits-0", "--outcome", "ok", "--since", "1h")] == [second["id"]]
    assert "exits-4" in jobs.ok("runs", "--id", str(first["id"]))
    assert "no job nope" in jobs.fails("run", "nope")


def test_pause_and_resume(jobs: Rota) -> None:
    jobs.ok("pause", "exits-0")
    assert "paused" in jobs.ok("list")
    jobs.ok("resume", "exits-0")
    assert "paused" not in jobs.ok("list")


def test_detached_and_cancelled(jobs: Rota) -> None:
    jobs.ok("run", "long", "--detach")
    run = str(runs(jobs, "--limit", "1")[0]["id"])
    jobs.ok("cancel", run)
    assert eventually(lambda: runs(jobs, "--id", run)[0]["outcome"]) == "cancelled"
    assert "not under way" in jobs.fails("cancel", run)


def test_an_interrupt_leaves_the_run_alone(jobs: Rota) -> None:
    following = jobs.popen("run", "long")
    assert following.stdout is not None
    while "working" not in following.stdout.readline():
        pass
    following.send_signal(signal.SIGINT)
    _, error = following.communicate(timeout=20)
    assert following.returncode == 130
    assert "The run goes on" in error
    assert runs(jobs, "long")[0]["state"] == "running"


def test_at_a_terminal_it_asks_and_no_ends_the_run(jobs: Rota) -> None:
    master, slave = pty.openpty()
    try:
        following = subprocess.Popen(
            [PROGRAM, "run", "long"],
            cwd=jobs.cwd,
            env=jobs.environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        _until(master, b"working")
        following.send_signal(signal.SIGINT)
        _until(master, b"Leave it running?")
        os.write(master, b"n\n")
        _until(master, b"is being ended")
        assert following.wait(20) == 0
        assert eventually(lambda: runs(jobs, "long")[0]["outcome"]) == "cancelled"
    finally:
        os.close(master)
        os.close(slave)


def _until(fd: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        assert select.select([fd], [], [], 20)[0], seen
        seen += os.read(fd, 4096)
