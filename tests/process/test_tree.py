"""Trees of real processes that hide, resist and multiply: found, ended, and known to be gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import msgspec
import pytest

from rota.daemon.procs import descent
from rota.daemon.procs import tree as tree_module
from rota.daemon.procs.descent import Reapers, ancestors, children_of, every_process, has_entry
from rota.daemon.procs.identity import boot_id, is_zombie, pidfd_inode, start_ticks
from rota.daemon.procs.mark import marked
from rota.daemon.procs.tree import Tree
from rota.process.state import Process
from tests.eventually import eventually
from tests.process.conftest import child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.process.conftest import Spawn

MARKER = f"test-{os.getpid()}:7:1"
ENTRY = f"ROTA_INSTANCE={MARKER}".encode()
ENVIRON = {"ROTA_INSTANCE": MARKER, "PATH": os.environ["PATH"]}


class Family:
    """A managed process and its tree, with ourselves in the keeper's role."""

    def __init__(self, main: subprocess.Popen[bytes]) -> None:
        self.main = main
        # Our own child, not yet waited for: it is itself even if it has ended.
        self.pidfd = os.pidfd_open(main.pid)
        self.root = Process(main.pid, start_ticks(main.pid) or 0, boot_id(), pidfd_inode(self.pidfd))
        self.reapers = Reapers(os.getpid())
        self.tree = Tree(self.root, ENTRY, self.reapers, self.pidfd)

    def line(self) -> str:
        assert self.main.stdout is not None
        return self.main.stdout.readline().decode().strip()

    def pids(self) -> set[int]:
        return {member.pid for member in self.tree.members()}

    async def gone(self, within: float = 10.0) -> None:
        await asyncio.wait_for(self.tree.gone(), within)


@pytest.fixture(params=["this kernel", "an old kernel"], autouse=True)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds without signals to groups through pidfds (6.9) and without lists of children, too."""
    if request.param == "an old kernel":
        monkeypatch.setattr(tree_module, "_signals_groups", lambda: False)
        monkeypatch.setattr(descent, "_kernel_lists_children", lambda: False)


class Start(Protocol):
    def __call__(self, *argv: str, stdin: int | None = None) -> Family: ...


@pytest.fixture
def start(spawn: Spawn) -> Iterator[Start]:
    families: list[Family] = []

    def start(*argv: str, stdin: int | None = None) -> Family:
        families.append(Family(spawn(*argv, env=ENVIRON, stdout=subprocess.PIPE, stdin=stdin)))
        return families[-1]

    yield start
    for family in families:
        os.close(family.pidfd)


def alive(pid: int) -> bool:
    return start_ticks(pid) is not None and not is_zombie(pid)


# --- members ----------------------------------------------------------------------------------------------------------


def test_a_lone_process_is_its_tree(start: Start) -> None:
    family = start("sleep", "60")
    (member,) = family.tree.members()
    assert (family.main.pid, family.root.start_ticks, 0, "sleep") == (
        member.pid,
        member.start_ticks,
        member.depth,
        member.comm,
    )


def test_a_pipeline_of_a_shell_belongs_together(start: Start) -> None:
    family = start("bash", "-c", "sleep 60 | cat | cat; true")
    names = ["bash", "cat", "cat", "sleep"]
    eventually(lambda: sorted(member.comm for member in family.tree.members()) == names)
    assert family.tree.members()[0].pid == family.main.pid


def test_children_of_every_thread_are_found(start: Start) -> None:
    code = (
        "import subprocess, threading\n"
        "def run(): subprocess.run(['sleep', '60'])\n"
        "threads = [threading.Thread(target=run, daemon=True) for _ in range(3)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]"
    )
    family = start(sys.executable, "-I", "-S", "-c", code)
    assert eventually(lambda: len(family.pids()) == 4)


def test_a_daemonised_grandchild_is_found_while_its_main_process_lives(start: Start) -> None:
    family = start(*child("detach"))
    expected = {family.main.pid, int(family.line())}
    eventually(lambda: family.pids() == expected)  # the one between them ends at once


def test_a_daemonised_grandchild_is_found_after_its_main_process_has_ended(start: Start) -> None:
    family = start(*child("detach", "leave"))
    stray = int(family.line())
    family.main.wait()
    assert family.pids() == {stray}
    assert family.tree.anything_left()


def test_a_stray_of_the_same_session_needs_no_marker(start: Start) -> None:
    family = start("bash", "-c", "(env -i sleep 60 & echo $!) ; true")
    stray = int(family.line())
    family.main.wait()
    eventually(lambda: not has_entry(stray, ENTRY))
    assert family.pids() == {stray}
    assert family.tree.anything_left()


def test_a_disguised_stray_is_found_when_it_was_seen_before(start: Start) -> None:
    family = start(*child("detach", "fresh", "leave"), stdin=subprocess.PIPE)
    stray = int(family.line())
    family.main.wait()
    # Its own session, its own environment, its parents gone: nothing tells whose it is ...
    assert family.pids() == set()
    # ... but for having been seen in time, as by the sampler of usage.
    ticks = start_ticks(stray)
    assert ticks is not None
    family.tree.remember([(stray, ticks)])
    assert family.pids() == {stray}
    assert family.tree.anything_left()


@pytest.mark.parametrize("lift", [False, True])
def test_only_who_puts_down_the_mark_has_left(start: Start, lift: bool) -> None:
    """As a rota does that is started from inside an app, and is seen while it detaches itself."""
    with marked(ENTRY):
        family = start(*child("detach", "fresh", *["lift"] * lift), stdin=subprocess.PIPE)
    stray = int(family.line())
    family.tree.remember([(stray, start_ticks(stray) or 0)])
    eventually(lambda: family.pids() == ({family.main.pid} if lift else {family.main.pid, stray}))
    family.tree.kill()
    family.main.wait()
    eventually(lambda: alive(stray) == lift and not family.tree.anything_left())


def test_what_a_pid_was_remembered_for_is_not_its_next_owner(start: Start, spawn: Spawn) -> None:
    family, stranger = start("true"), spawn("sleep", "60")
    family.main.wait()
    family.tree.remember([(stranger.pid, (start_ticks(stranger.pid) or 0) - 1)])
    assert family.pids() == set()
    assert not family.tree.anything_left()


def test_another_instances_orphan_is_not_ours(start: Start, spawn: Spawn) -> None:
    family = start("true")
    other = spawn(*child("detach", "leave"), env={"ROTA_INSTANCE": MARKER + "1"}, stdout=subprocess.PIPE)
    assert other.stdout is not None
    stray = int(other.stdout.readline())
    family.main.wait()
    assert alive(stray)
    assert family.pids() == set()


def test_main_processes_below_the_keeper_are_not_taken_for_orphans(start: Start) -> None:
    family, other = start("true"), start("sleep", "60")
    family.main.wait()
    family.reapers.mains = {other.main.pid}
    assert family.pids() == set()
    assert not family.tree.anything_left()
    family.reapers.mains = ()
    assert family.pids() == {other.main.pid}  # the same marker, as this is a test


def test_zombies_are_nothing(start: Start) -> None:
    family = start("true")
    eventually(lambda: is_zombie(family.main.pid))
    assert family.pids() == set()
    assert not family.tree.anything_left()


def test_a_group_without_its_leader_still_counts_when_no_pidfd_was_kept(start: Start) -> None:
    family = start("bash", "-c", "sleep 60 & echo $!")
    stray = int(family.line())
    family.main.wait()
    adopted = Tree(family.root, ENTRY, family.reapers)
    assert [stray] == [member.pid for member in adopted.members()]
    assert adopted.anything_left()


def test_a_number_reused_by_another_leader_makes_its_session_none_of_ours(start: Start, spawn: Spawn) -> None:
    family = start("true")
    family.main.wait()
    stranger = spawn("bash", "-c", "sleep 60 & sleep 60")
    eventually(lambda: len(children_of(stranger.pid)) == 2)
    # As if the kernel had given our dead root's pid to the stranger.
    past = msgspec.structs.replace(family.root, pid=stranger.pid, start_ticks=family.root.start_ticks - 1)
    tree = Tree(past, ENTRY, family.reapers)
    assert tree.members() == []
    assert tree.kill() == []
    assert stranger.poll() is None


def test_where_orphans_land_is_the_keeper_else_any_ancestor() -> None:
    me, parent = os.getpid(), os.getppid()
    assert Reapers(parent).of(me) == (parent,)
    assert Reapers(None).of(me) == ancestors(me)
    assert Reapers(None).of(1) == (1,)
    assert Reapers(parent).of(parent) == (parent,)
    # Children that fell to init when their keeper died are not below the new keeper.
    assert Reapers(2**22).of(1) == (1,)
    assert {1, 2**22, parent} <= set(Reapers(2**22).everywhere())


def test_the_slow_way_to_children_agrees_with_the_fast_one(start: Start) -> None:
    family = start("bash", "-c", "sleep 60 & sleep 60 & wait")
    eventually(lambda: len(children_of(family.main.pid)) == 2)
    slow = [pid for pid, stat in every_process() if stat.ppid == family.main.pid]
    assert sorted(slow) == sorted(children_of(family.main.pid))


# --- ending them ------------------------------------------------------------------------------------------------------


def test_a_signal_reaches_everybody_the_deepest_first(start: Start) -> None:
    report = "trap 'echo {} >&3' USR1; while :; do sleep 0.05; done"
    inner = report.format("inner")
    outer = report.format("outer")
    family = start("bash", "-c", f'exec 3>&1; bash -c "{inner}" & echo up; {outer}')
    assert family.line() == "up"
    eventually(lambda: len([m for m in family.tree.members() if m.comm == "bash"]) == 2)
    eventually(lambda: all(_traps_usr1(m.pid) for m in family.tree.members() if m.comm == "bash"))
    assert family.tree.signal(signal.SIGUSR1) == []
    assert {family.line(), family.line()} == {"inner", "outer"}


def test_the_stubborn_survive_a_request_and_not_a_kill(start: Start) -> None:
    async def scenario() -> None:
        family = start(*child("stubborn"))
        assert family.line() == "ready"
        family.tree.signal(signal.SIGTERM)
        family.tree.signal(signal.SIGINT)
        with pytest.raises(TimeoutError):
            await family.gone(within=0.1)
        assert family.pids() == {family.main.pid}
        family.tree.kill()
        await family.gone()
        assert family.main.wait() == -signal.SIGKILL

    asyncio.run(scenario())


@pytest.mark.parametrize("words", [("stubborn",), ("leave", "stubborn"), ("stubborn", "fresh")])
def test_a_kill_takes_the_detached_along(start: Start, words: tuple[str, ...]) -> None:
    async def scenario() -> None:
        family = start(*child("detach", *words))
        stray = int(family.line())
        if "fresh" in words:
            # Orphaned and disguised from birth; the sampler saw it.
            family.tree.remember([(stray, start_ticks(stray) or 0)])
        family.tree.kill()
        await family.gone()
        assert not alive(stray)
        assert not alive(family.main.pid)

    asyncio.run(scenario())


def test_one_that_is_always_somebody_else_is_caught(start: Start) -> None:
    async def scenario() -> None:
        family = start(*child("hopper"))
        assert family.line() == "ready"
        family.tree.kill()
        await family.gone(within=4)
        family.main.wait()
        assert not family.tree.anything_left()

    asyncio.run(scenario())


def test_a_bomb_is_put_out(start: Start) -> None:
    async def scenario() -> None:
        family = start(*child("bomb"))
        assert family.line() == "ready"
        eventually(lambda: len(family.pids()) > 31)
        family.tree.kill()
        await family.gone(within=4)
        assert family.pids() == set()

    asyncio.run(scenario())


def test_waiting_ends_when_the_last_of_several_generations_ends(start: Start) -> None:
    async def scenario() -> None:
        family = start("bash", "-c", "(sleep 0.15; setsid sleep 0.15 & true) & exit 0")
        waiting = asyncio.create_task(family.gone())
        family.main.wait()
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
        assert family.pids() == set()

    asyncio.run(scenario())


RESTLESS = "(sleep 0.01; setsid sleep 0.01; setsid bash -c 'sleep 0.01; setsid sleep 0.01 & true' & true) & exit 0"


def test_a_tree_that_forks_and_executes_all_the_time_is_never_thought_gone_too_early(start: Start) -> None:
    async def scenario() -> None:
        for _ in range(15):
            family = start("bash", "-c", RESTLESS)
            await family.gone()
            family.main.wait()
            late = [pid for pid in children_of(os.getpid()) if alive(pid) and has_entry(pid, ENTRY)]
            assert late == []

    asyncio.run(scenario())


def test_waiting_can_be_given_up(start: Start) -> None:
    async def scenario() -> None:
        family = start("sleep", "60")
        waiting = asyncio.create_task(family.gone())
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    asyncio.run(scenario())  # the descriptors are checked after every test


def test_whom_we_may_not_signal_is_named(start: Start) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody who may not")
    family = start("sleep", "60")
    code = (
        "import os, sys, msgspec; from rota.daemon.procs.tree import Tree; from rota.daemon.procs.descent import Reapers\n"
        "from rota.process.state import Process; from rota.daemon.procs.identity import boot_id\n"
        "root = msgspec.json.decode(sys.argv[1], type=Process); boot_id(); os.setuid(65534)\n"
        "tree = Tree(root, b'X=1', Reapers(None))\n"
        "print([m.pid for m in tree.signal(15)], [m.pid for m in tree.kill()])"
    )
    said = subprocess.check_output([sys.executable, "-c", code, msgspec.json.encode(family.root)])
    assert said.decode().strip() == f"[{family.main.pid}] [{family.main.pid}]"
    assert family.main.poll() is None


DAEMON = """
import asyncio, os, subprocess, sys
from rota.daemon.procs.descent import Reapers
from rota.daemon.procs.identity import open_process
from rota.daemon.procs.tree import Tree
argv = sys.argv[1:]
main = subprocess.Popen(argv, start_new_session=True, env={"ROTA_INSTANCE": "t:1:1"}, stdout=subprocess.PIPE)
pidfd, root = open_process(main.pid)
tree = Tree(root, b"ROTA_INSTANCE=t:1:1", Reapers(os.getppid()), pidfd)
stray = int(main.stdout.readline())
main.wait()
before = [member.pid for member in tree.members()] == [stray], tree.anything_left()
tree.kill()
asyncio.run(asyncio.wait_for(tree.gone(), 10))
print(*before, tree.anything_left())
"""


def test_a_daemon_finds_its_orphans_below_its_keeper(spawn: Spawn) -> None:
    # This process is the keeper (a subreaper), the child is the daemon.
    daemon = spawn(sys.executable, "-c", DAEMON, *child("detach", "leave"), stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    assert daemon.stdout.read() == b"True True False\n"


def _traps_usr1(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        caught = next(line for line in file if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGUSR1 - 1))
