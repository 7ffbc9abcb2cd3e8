"""The keeper by itself: what it keeps, whom it reaps, how it starts the daemon again."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.process.spec import RestartSpec
from rota.wire.messages import Report
from tests.daemon.host import PROGRAM, alive, kill, python, shell
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

KEEPER = Path(__file__).parents[2] / "src/rota/keeper/main.py"
SLEEP = shell("exec sleep 1000")


def descriptors(pid: int) -> list[str]:
    found = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(entry.path))
    return found


def test_it_holds_two_ends_a_process_and_lets_go_of_them(host: Host) -> None:
    before = len(descriptors(host.keeper))
    host.start("app", SLEEP, instances=3, instances_given=True)
    eventually(lambda: len(descriptors(host.keeper)) == before + 6)
    host.cli("delete", "all")
    eventually(lambda: len(descriptors(host.keeper)) == before)


def test_nothing_grows_over_a_hundred_restarts(host: Host) -> None:
    host.start("app", SLEEP)
    host.start("loop", shell("exit 1"), restart=RestartSpec(max_restarts=100_000))

    def held() -> tuple[int, int]:
        return len(descriptors(host.keeper)), len(descriptors(host.daemon))

    eventually(lambda: host.record("loop").instance.restarts > 20)
    host.cli("stop", "loop")
    eventually(lambda: host.status("loop") == "stopped")
    before = held()
    host.cli("start", "loop")
    eventually(lambda: host.record("loop").instance.restarts > 150, within=20)
    host.cli("stop", "loop")
    eventually(lambda: held() == before)
    assert len(host.fifos()) == 3


def test_it_reaps_the_strays_of_apps(host: Host) -> None:
    """A child that its parent abandoned ends as nobody's zombie."""
    host.start("app", shell("(sleep 0.1 & echo $! ) ; exec sleep 1000"))
    stray = int(host.logs("app", "\n"))
    eventually(lambda: not Path(f"/proc/{stray}").exists())


def test_orphans_hang_below_it(host: Host) -> None:
    host.start("family", python("family", "stay"))
    grandchild = int(host.logs("family", "grandchild ").split()[1])
    stat = Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) == host.keeper


def test_it_is_not_held_to_the_users_limit_of_descriptors(asleep: Host) -> None:
    """A limit of 64 would otherwise end it at some twenty apps."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        asleep.wake()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    asleep.start("app", shell("ulimit -n; exec sleep 1000"), instances=60, instances_given=True)
    eventually(lambda: len(descriptors(asleep.keeper)) > 120)
    asleep.back(asleep.kill_daemon())
    assert [record.instance.restarts for record in asleep.records()] == [0] * 60
    assert sum(asleep.pid(record.instance.id) > 0 for record in asleep.records()) == 60
    assert (asleep.path / "logs/app-out-7.log").read_text() == "64\n"


def test_what_the_caller_had_open_is_not_kept_open(asleep: Host) -> None:
    """`flock FILE rota start app` gives the lock back, and whoever reads a pipe of the shell sees its end."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    asleep.wake()
    asleep.start("app", shell("exec sleep 1000"))
    os.close(write)
    os.set_blocking(read, False)
    assert os.read(read, 1) == b"", "somebody still holds the other end"
    os.close(read)


def test_a_daemon_that_crashes_at_once_is_started_ever_more_slowly(tmp_path: Path) -> None:
    log = tmp_path / "starts"
    daemon = tmp_path / "daemon"
    daemon.write_text(f"#!/bin/sh\ndate +%s.%N >> {log}\nexit 1\n")
    daemon.chmod(0o755)
    keeper = start_keeper(tmp_path, str(daemon))
    try:
        starts = eventually(lambda: found if len(found := times(log)) >= 6 else None)
    finally:
        end(keeper)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert (
        gaps[0] >= 0.02
    )  # 50 ms between two orders to start; on a busy machine the second one may be carried out sooner
    assert gaps[4] >= 0.9


def times(log: Path) -> list[float]:
    return [float(line) for line in log.read_text().split()] if log.exists() else []


def start_keeper(directory: Path, *daemon: str) -> subprocess.Popen[bytes]:
    with (directory / "owner.lock").open("wb") as lock, (directory / "log").open("ab") as log:
        os.set_inheritable(lock.fileno(), True)
        argv = [sys.executable, "-I", "-S", str(KEEPER), str(directory / "keeper.pid"), str(lock.fileno()), "--"]
        return subprocess.Popen([*argv, *daemon], pass_fds=(lock.fileno(),), stderr=log)


def end(keeper: subprocess.Popen[bytes]) -> None:
    keeper.kill()
    keeper.wait()


def test_a_daemon_that_cannot_start_for_good_ends_the_keeper(tmp_path: Path) -> None:
    keeper = start_keeper(tmp_path, "/bin/sh", "-c", "exit 100")
    assert keeper.wait(10) == 100
    assert not (tmp_path / "keeper.pid").exists()


def test_a_program_that_is_missing_for_a_moment_is_awaited(tmp_path: Path) -> None:
    """An installation in progress: the interpreter is away and comes back."""
    program = tmp_path / "python"
    keeper = start_keeper(tmp_path, str(program), "-c", "exit 100")
    try:
        eventually(lambda: "cannot be started" in (tmp_path / "log").read_text())
        assert keeper.poll() is None
        program.symlink_to("/bin/sh")
        assert keeper.wait(10) == 100
    finally:
        end(keeper)


def test_asked_to_end_without_a_daemon_it_has_one_end_everything(tmp_path: Path) -> None:
    daemon = tmp_path / "daemon"
    daemon.write_text(
        f"#!{sys.executable} -IS\nimport signal\nprint(signal.sigpending(), signal.pthread_sigmask(0, ()))\n"
    )
    daemon.write_text(
        f"#!{sys.executable} -IS\nimport os, signal, time\n"
        f"open('{tmp_path}/starts', 'a').write('x')\n"
        "time.sleep(0.3)\n"
        f"open('{tmp_path}/pending', 'a').write(str(15 in signal.sigpending()))\n"
        "os._exit(1)\n"
    )
    daemon.chmod(0o755)
    keeper = start_keeper(tmp_path, str(daemon))
    eventually(lambda: (tmp_path / "starts").exists())
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(20) == 1
    assert (tmp_path / "starts").read_text() == "xxx", "three tries, then it gives up"
    assert (tmp_path / "pending").read_text() == "TrueTrueTrue"


def test_garbage_from_the_daemon_is_ignored(tmp_path: Path) -> None:
    daemon = tmp_path / "daemon"
    daemon.write_text(
        f"#!{sys.executable} -IS\nimport os, socket\n"
        "link = socket.socket(fileno=int(os.environ['ROTA_KEEPER_FD']))\n"
        "while link.recv(512) != b'SYNC': pass\n"
        "for word in (b'\\xff\\xfe', b'DANCE', b'PUT', b'DROP a b c', b'DROP nothing', b' '): link.send(word)\n"
        "link.send(b'BYE 7')\n"
    )
    daemon.chmod(0o755)
    keeper = start_keeper(tmp_path, str(daemon))
    try:
        assert keeper.wait(10) == 7
    finally:
        end(keeper)


def test_pid_1_of_a_container_reaps_forwards_and_ends(asleep: Host) -> None:
    """The keeper as init of a pid namespace of its own: no zombie stays, SIGTERM ends everything in order."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-fp", "--mount-proc", "true"], check=False).returncode:
        pytest.skip("this machine does not let make pid namespaces")
    program = (
        "from rota.home import Home\nfrom rota.keeper.launch import foreground\n"
        f"foreground(Home({str(asleep.path)!r}))\n"
    )
    argv = [unshare, "-fp", "--mount-proc", "--kill-child", sys.executable, "-c", program]
    with (asleep.path / "init.log").open("wb") as log:
        container = subprocess.Popen(argv, stderr=log, stdout=log)
    try:
        eventually(asleep.answers)
        assert asleep.call(Report())["pid"] < 20
        asleep.start("app", shell("(setsid sh -c 'sleep 0.1' &) ; echo started; exec sleep 1000"))
        asleep.logs("app", "started")
        ps = "ps -eo stat=,args="
        inside = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()[0]
        namespace = ["nsenter", "-t", inside, "-p", "-m", "sh", "-c", ps]
        eventually(lambda: "sleep 0.1" not in subprocess.run(namespace, capture_output=True, text=True).stdout)
        listing = subprocess.run(namespace, capture_output=True, text=True).stdout
        assert not [line for line in listing.splitlines() if line.startswith("Z")], listing
        os.kill(int(inside), signal.SIGTERM)
        assert container.wait(20) == 0
        assert asleep.own_log.rstrip().endswith("ended")
    finally:
        container.kill()
        container.wait()


def test_in_the_foreground_a_second_one_is_refused(host: Host) -> None:
    program = (
        f"from rota.home import Home\nfrom rota.keeper.launch import foreground\nforeground(Home({str(host.path)!r}))\n"
    )
    second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "rota already runs" in second.stderr
    assert host.answers()


def test_the_daemon_without_a_keeper_supervises_and_ends(asleep: Host) -> None:
    """As a service manager with a store of descriptors of its own would run it."""
    argv = [str(PROGRAM.with_name("python")), "-I", "-m", "rota.daemon", str(asleep.path)]
    daemon = subprocess.Popen(argv)
    try:
        eventually(asleep.answers)
        assert asleep.keeper == 0
        asleep.start("app", SLEEP)
        pid = asleep.pid("app")
        kill(pid)
        eventually(lambda: asleep.pid("app") not in (0, pid))
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0
        assert not alive(pid)
    finally:
        daemon.kill()
        daemon.wait()


def test_a_killed_daemon_without_a_keeper_is_followed_by_one_with(asleep: Host) -> None:
    argv = [str(PROGRAM.with_name("python")), "-I", "-m", "rota.daemon", str(asleep.path)]
    daemon = subprocess.Popen(argv)
    eventually(asleep.answers)
    asleep.start("app", shell("while :; do echo tick; sleep 0.02; done"))
    pid = asleep.pid("app")
    daemon.kill()
    daemon.wait()
    time.sleep(0.1)
    asleep.wake()
    assert asleep.pid("app") == pid
    assert asleep.keeper > 0
