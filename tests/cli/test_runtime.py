"""rota runtime: a container's main process. The exit code is the app's, signals reach the apps, nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import PROGRAM, SLEEPER, alive
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Rota

ONCE = "import sys\nprint('one', flush=True)\nprint('two', file=sys.stderr, flush=True)\nsys.exit(int(sys.argv[1]))\n"
SERVICE = """
import signal, sys
def heard(number, frame): print("heard", signal.Signals(number).name, flush=True)
for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH): signal.signal(number, heard)
def stop(number, frame):
    print("stopped", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
print("up", flush=True)
while True: signal.pause()
"""


@pytest.fixture
def foreground(rota: Rota) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        started.append(rota.popen("runtime", *words))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("code", [0, 3])
def test_it_ends_at_once_with_the_apps_code_and_output(rota: Rota, code: int) -> None:
    rota.write("once.py", ONCE)
    done = rota("runtime", "once.py", "--no-autorestart", "--", str(code))
    assert (done.returncode, done.stdout, done.stderr) == (code, "one\n", "two\n")
    assert rota.pids() == []


def test_a_second_life_shows_only_its_own_output(rota: Rota) -> None:
    rota.write("once.py", ONCE)
    for _ in range(2):
        assert rota("runtime", "start", "once.py", "--no-autorestart", "--", "0").stdout == "one\n"


def test_a_signal_as_shells_tell_it_and_a_crash_loop(rota: Rota) -> None:
    rota.write("killed.py", "import os\nos.kill(os.getpid(), 9)\n")
    assert rota("runtime", "killed.py", "--no-autorestart").returncode == 137
    rota.write("loop.py", "raise SystemExit(0)\n")
    assert rota("runtime", "loop.py", "--max-restarts", "2").returncode == 1, "given up, whatever the code was"


def test_the_first_code_that_is_not_0_speaks_for_several(rota: Rota) -> None:
    rota.write("once.py", ONCE)
    apps = [{"name": f"a{n}", "script": "once.py", "args": [str(n)], "autorestart": False} for n in (0, 4)]
    apps += [{"name": "quiet", "script": "once.py", "args": ["0"], "autorestart": False, "out_file": "/dev/null"}]
    rota.write("apps.json", json.dumps(apps))
    done = rota("runtime", "apps.json", "--formatted", "--only", "a0,a4,quiet")
    assert done.returncode == 4
    out = done.stdout.splitlines()
    assert sum(text.endswith("| one") for text in out) == 3
    assert any("|quiet | one" in text for text in out), "what is kept nowhere is still shown"


def test_signals_reach_the_apps_and_term_stops_them(
    foreground: Callable[..., subprocess.Popen[str]], rota: Rota
) -> None:
    rota.write("service.py", SERVICE)
    running = foreground("service.py")
    assert line(running) == "up\n"
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        running.send_signal(number)
        assert line(running) == f"heard {number.name}\n"
    pids = [*rota.pids(), rota.records()[0]["pid"]]
    running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=30)[0] == "stopped\n"
    assert running.returncode == 0
    assert not any(map(alive, pids))


def test_a_daemon_that_dies_is_no_event(foreground: Callable[..., subprocess.Popen[str]], rota: Rota) -> None:
    rota.write("service.py", SERVICE)
    running = foreground("service.py", "--json")
    while json.loads(line(running)).get("message") != "up":
        pass
    pid = rota.records()[0]["pid"]
    os.kill(rota.pids()[1], signal.SIGKILL)
    assert eventually(rota.records)[0]["pid"] == pid
    running.send_signal(signal.SIGUSR1)
    while json.loads(line(running)).get("message") != "heard SIGUSR1":
        pass


def test_mistakes_start_nothing(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    assert "Script not found" in rota.fails("runtime", "app.py", "nothere.py")
    assert "nothing to run" in rota.fails("runtime")
    assert "exclude each other" in rota.fails("runtime", "app.py", "--json", "--raw")
    rota.write("apps.json", json.dumps([{"name": "a", "script": "app.py"}]))
    assert "there is nothing to run in it" in rota.fails("runtime", "apps.json", "--only", "b")
    assert not rota.home.exists()
    rota.ok("ping")
    assert "already runs" in rota.fails("runtime", "app.py")


def test_a_program_that_cannot_be_started_is_a_failure(rota: Rota) -> None:
    broken = rota.write("broken", "\x7fELF nonsense\0")
    broken.chmod(0o755)
    error = rota.fails("runtime", "./broken", "--interpreter", "none")
    assert "broken" in error


def test_a_schedule_keeps_it_alive(foreground: Callable[..., subprocess.Popen[str]], rota: Rota) -> None:
    rota.write("once.py", ONCE)
    running = foreground("once.py", "--cron", "* * * * * *", "--no-autorestart", "--", "0")
    assert [line(running) for _ in range(3)] == ["one\n"] * 3


def test_no_daemon_is_the_same_for_a_terminal(rota: Rota) -> None:
    rota.write("service.py", SERVICE)
    running = rota.popen("start", "service.py", "--no-daemon")
    assert line(running).endswith("0|service | up\n")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert running.returncode == 0
    assert rota.pids() == []


def _can_unshare() -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    return False


@pytest.mark.skipif(shutil.which("unshare") is None or not _can_unshare(), reason="needs a PID namespace of its own")
def test_as_pid_1_it_reaps_what_falls_to_it(rota: Rota) -> None:
    rota.write(
        "orphans.py",
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0: time.sleep(0.2)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "def zombies():\n"
        "    stats = [open(f'/proc/{p}/stat').read() for p in os.listdir('/proc') if p.isdigit()]\n"
        "    return sum(s.rpartition(')')[2].split()[0] == 'Z' for s in stats)\n"
        "deadline = time.monotonic() + 5\n"
        "time.sleep(0.5)\n"
        "while zombies() and time.monotonic() < deadline: time.sleep(0.05)\n"
        "print('zombies', zombies(), flush=True)\n"
        "raise SystemExit(7)\n",
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", PROGRAM, "runtime", "orphans.py", "--no-autorestart"]
    done = subprocess.run(
        command, cwd=rota.cwd, env=rota.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (7, "zombies 0\n"), done.stderr


def test_it_ends_when_rota_is_shut_down_beside_it(rota: Rota) -> None:
    """`docker exec ... rota shutdown`: a container in which nothing runs any more must not look alive."""
    rota.write("app.py", SLEEPER)
    running = rota.popen("runtime", "app.py")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        rota.ok("shutdown")
        assert running.wait(20) == 0
        assert rota.pids() == []
    finally:
        running.kill()
        running.communicate()


def test_what_two_killed_programs_left_is_supervised_again(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    running = rota.popen("runtime", "app.py")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        (app,) = [record["pid"] for record in rota.records()]
        keeper, daemon = rota.pids()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (keeper, daemon):
                os.kill(pid, number)
        eventually(lambda: len(pids := rota.pids()) == 2 and keeper not in pids, 20)
        assert [record["pid"] for record in rota.records()] == [app]
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        assert not alive(app)
    finally:
        running.kill()
        running.communicate()
