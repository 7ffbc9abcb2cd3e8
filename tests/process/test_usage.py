"""Figures of real trees. The time between samples is ours to say, so that CPU percentages are exact."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rota.daemon.procs.descent import Reapers
from rota.daemon.procs.identity import boot_id, pidfd_inode, start_ticks
from rota.daemon.procs.usage import LOOK_EVERY, Sampler
from rota.process.state import Process
from tests.eventually import eventually
from tests.process.conftest import child, children_of_ours, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota.process.record import Usage
    from tests.process.conftest import Spawn

MARKER = f"usage-{os.getpid()}:1:1"
ENTRY = f"ROTA_INSTANCE={MARKER}".encode()
MIB = 1024 * 1024


def process(main: subprocess.Popen[bytes]) -> Process:
    pidfd = os.pidfd_open(main.pid)
    found = Process(main.pid, start_ticks(main.pid) or 0, boot_id(), pidfd_inode(pidfd))
    os.close(pidfd)
    return found


def main(spawn: Spawn, *argv: str) -> subprocess.Popen[bytes]:
    environ = {"ROTA_INSTANCE": MARKER, "PATH": os.environ["PATH"]}
    return spawn(*argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _same(one: Usage, other: Usage) -> Usage | None:
    return one if one == other else None


def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def sampler(spawn: Spawn) -> Iterator[Sampler]:
    sampler = Sampler(Reapers(os.getpid()))
    yield sampler
    sampler.close()


def test_memory_of_the_whole_tree_is_added_up(spawn: Spawn, sampler: Sampler) -> None:
    code = "import os; keep = b'x' * (40 << 20); os.fork(); print('up', flush=True); input()"
    hog = main(spawn, sys.executable, "-I", "-S", "-c", code)
    sampler.watch(1, process(hog), ENTRY)
    assert (line(hog), line(hog)) == (b"up", b"up")
    usage = sampler.sample(10.0)[1]
    assert usage.processes == 2
    assert 80 * MIB < usage.memory < 160 * MIB


def test_cpu_is_what_was_used_since_the_last_sample(spawn: Spawn, sampler: Sampler) -> None:
    burner = main(spawn, *child("burner", "0.3"))
    sampler.watch(1, process(burner), ENTRY)
    assert sampler.sample(10.0)[1].cpu == 0.0
    assert line(burner) == b"done"
    assert 25.0 <= sampler.sample(11.0)[1].cpu <= 45.0
    assert sampler.sample(12.0)[1].cpu <= 1.0


def test_children_that_came_and_went_between_two_samples_are_counted(spawn: Spawn, sampler: Sampler) -> None:
    burner = main(spawn, *child("burner", "0.3", "child"))
    sampler.watch(1, process(burner), ENTRY)
    sampler.sample(10.0)
    assert line(burner) == b"done"
    usage = sampler.sample(12.0)[1]
    assert 13.0 <= usage.cpu <= 25.0
    assert usage.processes == 1


def test_what_was_counted_while_a_child_lived_is_not_counted_again_when_it_ends(spawn: Spawn, sampler: Sampler) -> None:
    code = (
        "import os, sys, time\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    while time.process_time() < 0.2: pass\n"
        "    print('burnt', flush=True); sys.stdin.readline(); os._exit(0)\n"
        "os.waitpid(pid, 0); print('waited', flush=True); sys.stdin.read()"
    )
    parent = main(spawn, sys.executable, "-I", "-S", "-c", code)
    sampler.watch(1, process(parent), ENTRY)
    sampler.sample(10.0)
    assert line(parent) == b"burnt"
    first = sampler.sample(10.0 + LOOK_EVERY)[1]
    assert first.processes == 2
    assert first.cpu >= 100 * 0.18 / LOOK_EVERY
    assert parent.stdin is not None
    parent.stdin.write(b"\n")
    parent.stdin.flush()
    assert line(parent) == b"waited"
    assert sampler.sample(11.0 + LOOK_EVERY)[1].cpu <= 3.0


def test_new_members_are_found_in_time_and_the_ended_forgotten(spawn: Spawn, sampler: Sampler) -> None:
    shell = main(spawn, "bash", "-c", "read; sleep 60 & sleep 60 & echo up; wait")
    sampler.watch(1, process(shell), ENTRY)
    assert sampler.sample(10.0)[1].processes == 1
    assert shell.stdin is not None
    shell.stdin.write(b"\n")
    shell.stdin.flush()
    assert line(shell) == b"up"
    assert sampler.sample(10.0 + LOOK_EVERY)[1].processes == 3
    assert [shell.pid] == [pid for pid, ticks in sampler.seen(1) if pid == shell.pid and ticks == start_ticks(pid)]

    shell.kill()
    shell.wait()
    left = eventually(lambda: sampler.sample(11.0 + LOOK_EVERY)[1])
    assert left.processes == 2


def test_an_orphan_counts_where_its_marker_says(spawn: Spawn, sampler: Sampler) -> None:
    stranger = spawn("sleep", "60")
    parent = main(spawn, *child("detach", "leave"))
    root = process(parent)
    stray = int(line(parent))
    parent.wait()
    sampler.watch(1, root, ENTRY)
    usage = sampler.sample(10.0)[1]
    assert [stray] == [pid for pid, _ in sampler.seen(1)]
    assert (usage.processes, usage.memory > 0) == (1, True)
    assert stranger.poll() is None


def test_another_owner_of_the_pid_is_not_counted(spawn: Spawn, sampler: Sampler) -> None:
    other = spawn("sleep", "60")
    sampler.watch(1, Process(other.pid, (start_ticks(other.pid) or 0) - 1, boot_id()), ENTRY)
    assert sampler.sample(10.0)[1].processes == 0


def test_a_zombie_uses_nothing(spawn: Spawn, sampler: Sampler) -> None:
    parent = main(spawn, "true")
    sampler.watch(1, process(parent), ENTRY)
    assert eventually(lambda: os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT))
    usage = sampler.sample(10.0)[1]
    assert (usage.memory, usage.processes) == (0, 0)


def test_within_a_second_the_same_figures_are_given(spawn: Spawn, sampler: Sampler) -> None:
    sampler.watch(1, process(main(spawn, "sleep", "60")), ENTRY)
    first = sampler.sample(10.0)
    assert sampler.sample(10.9) is first
    assert sampler.sample(11.0) is not first
    # A newcomer is not made to wait.
    sampler.watch(2, process(spawn("sleep", "60")), b"ROTA_INSTANCE=other")
    assert sampler.sample(11.1).keys() == {1, 2}


def test_an_idle_tree_keeps_its_figures(spawn: Spawn, sampler: Sampler) -> None:
    sampler.watch(1, process(main(spawn, "sleep", "60")), ENTRY)
    times = itertools.count(10.0, 1.0)
    eventually(lambda: sampler.sample(next(times))[1].memory)  # a page counts some time after it was touched
    steady = eventually(lambda: _same(sampler.sample(next(times))[1], sampler.sample(next(times))[1]))
    assert steady is not None
    assert (steady.processes, steady.cpu, steady.memory > 0) == (1, 0.0, True)


def test_forgetting_closes_what_was_open(spawn: Spawn) -> None:
    before = open_descriptors()
    sampler = Sampler(Reapers(os.getpid(), children_of_ours()))
    roots = [process(spawn("sleep", "60")) for _ in range(3)]
    for id, root in enumerate(roots):
        sampler.watch(id, root, b"ROTA_INSTANCE=%d" % id)
    sampler.watch(0, roots[0], b"ROTA_INSTANCE=0")
    sampler.sample(10.0)
    assert len(open_descriptors()) > len(before)
    sampler.forget(0)
    sampler.forget(0)
    assert sampler.sample(11.0).keys() == {1, 2}
    assert sampler.seen(0) == []
    sampler.close()
    assert open_descriptors().keys() == before.keys()
