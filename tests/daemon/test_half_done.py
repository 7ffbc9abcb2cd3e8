"""kill -9 of the daemon in the middle of something: the next one finds what was begun, and goes on with it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from rota.process.spec import RestartSpec, StopSpec
from rota.process.state import Down
from rota.wire.messages import Act, Resurrect, Save
from tests.daemon.host import alive, kill, python, shell, spec
from tests.daemon.meanwhile import in_background, one_process_each
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

MANY = 20
SLEEP = shell("exec sleep 1000")
ONCE = RestartSpec(autorestart=False)
FOREVER = RestartSpec(max_restarts=100_000)


@pytest.mark.parametrize("after", [0.0, 0.004, 0.012, 0.03, 0.08])
def test_killed_while_it_starts_many(host: Host, after: float) -> None:
    names = [f"a{index}" for index in range(MANY)]
    former = host.daemon
    thread = in_background(lambda: host.start_all([spec(name, SLEEP) for name in names]))
    time.sleep(after)
    kill(former)
    thread.join()
    host.back(former)
    known = [record.spec.name for record in host.records()]
    assert known in ([], names), "all of them or none"
    for name in known:
        host.reaches(name, "online")
    one_process_each(host)


@pytest.mark.parametrize("after", [0.0, 0.02, 0.3])
def test_killed_while_it_stops(host: Host, after: float) -> None:
    """Half of them ignore the polite signal: the stop goes on where it was."""
    slow = StopSpec(kill_timeout=0.6)
    for index in range(4):
        host.start(f"a{index}", python("stubborn"), stop=slow)
        host.start(f"b{index}", SLEEP)
    for index in range(4):
        host.logs(f"a{index}", "ignoring")
    former = host.daemon
    thread = in_background(lambda: host.call(Act(action="stop", targets=("all",))))
    if after == 0.3:
        eventually(lambda: host.records()[-1].instance.desired == "down")
    time.sleep(after)
    kill(former)
    thread.join()
    host.back(former)
    wanted = {record.instance.desired for record in host.records()}
    assert len(wanted) == 1  # written down for all of them, or for none
    assert after < 0.3 or wanted == {"down"}
    if wanted == {"down"}:
        for record in host.records():
            host.reaches(record.instance.id, "stopped")
    eventually(lambda: all(r.instance.desired == "up" or isinstance(r.instance.actual, Down) for r in host.records()))
    assert [record.instance.restarts for record in host.records()] == [0] * 8
    one_process_each(host)


def test_what_was_being_stopped_alone_ended_with_the_daemon(host: Host) -> None:
    """There is nobody left to whom the next daemon could repeat the signal."""
    host.start("app", python("stubborn"), stop=StopSpec(tree=False, kill_timeout=30))
    host.logs("app", "ignoring")
    pid, thread = host.pid("app"), in_background(lambda: host.call(Act(action="stop", targets=("app",))))
    host.reaches("app", "stopping")
    former = host.daemon
    for one in (former, pid):
        kill(one)
    thread.join()
    host.back(former)
    assert host.reaches("app", "stopped").instance.last_exit is not None


@pytest.mark.parametrize("after", [0.0, 0.01, 0.05])
def test_killed_while_it_restarts(host: Host, after: float) -> None:
    for index in range(8):
        host.start(f"a{index}", SLEEP)
    former = host.daemon
    thread = in_background(lambda: host.call(Act(action="restart", targets=("all",), parallel=4)))
    time.sleep(after)
    kill(former)
    thread.join()
    host.back(former)
    for record in host.records():
        host.reaches(record.instance.id, "online")
    one_process_each(host)


def test_killed_in_the_middle_of_a_crash_loop(host: Host, work: Path) -> None:
    script = f"mkdir {work}/lock || echo DOUBLE; echo start; sleep 0.01; rmdir {work}/lock; exit 1"
    host.start("loop", shell(script), restart=FOREVER)
    rng = random.Random(2)
    for _ in range(6):
        former = host.kill_daemon()
        host.back(former)
        time.sleep(rng.uniform(0.0, 0.15))
    record = host.record("loop")
    host.call(Act(action="stop", targets=("loop",)))
    log = host.log("loop")
    assert "DOUBLE" not in log
    assert record.instance.restarts > 0
    launches = host.record("loop").instance.restarts + 1
    assert launches - 1 <= log.count("start\n") <= launches, "the last one may have been stopped before its first word"


def test_a_run_that_ended_before_its_daemon_could_note_its_pid_is_counted(host: Host, work: Path) -> None:
    """Each run kills the daemon in the moment that one has spawned it, and ends: its pid reaches no ledger. What it leaves
    behind leads a session, too, and is no main process."""
    (work / "launches").touch()
    counted = f"echo x >> {work}/launches; [ $(wc -l < {work}/launches) -ge 4 ] && exec sleep 1000"
    script = shell(f"kill -9 $PPID; {counted}; setsid sleep 1000 & exit 3")
    stop = StopSpec(kill_timeout=0.1)
    in_background(lambda: host.start("loop", script, restart=FOREVER, stop=stop)).join()
    eventually(lambda: (work / "launches").read_text() == "x\n" * 4)
    eventually(host.answers)
    record = host.reaches("loop", "online")
    exit = record.instance.last_exit
    assert exit is not None
    assert (record.instance.restarts, exit.code, exit.known) == (3, 3, True)
    one_process_each(host)


def test_killed_between_a_crash_and_the_sweep_of_the_tree(host: Host) -> None:
    """The main process has ended and its stubborn remnant not yet: the next daemon goes on with the sweep."""
    host.start("family", python("family", "crash"), stop=StopSpec(kill_timeout=1.0), restart=ONCE)
    grandchild = int(host.logs("family", "grandchild ").split()[1])
    host.reaches("family", "stopping")
    host.back(host.kill_daemon())
    exit = host.reaches("family", "stopped").instance.last_exit
    assert exit is not None
    assert exit.code == 3
    assert not alive(grandchild)


def test_killed_while_it_saves(host: Host) -> None:
    host.start_all([spec(f"a{index}", SLEEP, env={"X": "y" * 20_000}) for index in range(10)])
    host.call(Save())
    rng = random.Random(3)
    for _ in range(5):
        former = host.daemon
        thread = in_background(lambda: [host.call(Save()) for _ in range(50)])
        time.sleep(rng.uniform(0.0, 0.05))
        kill(former)
        thread.join()
        host.back(former)
        assert len(host.call(Resurrect(dry_run=True))) == 10
    assert "Failed" not in host.show(Resurrect()).err
