"""Identity of processes: real ones for what the kernel says, generated text for what we make of it."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.procs import identity
from rota.daemon.procs.identity import (
    apply_limits,
    boot_id,
    ended,
    exit_from_status,
    exit_of_stranger,
    is_zombie,
    open_process,
    reopen,
    send,
    start_ticks,
)
from rota.daemon.procs.proc_stat import Stat, parse_stat, read_stat
from rota.errors import NotPermitted, SpecError
from rota.process.state import Exit, Process
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.process.conftest import Spawn

NO_SUCH_PID = 2**22 + 1


class FixedClock:
    def now(self) -> float:
        return 1_000_000.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def opened(pid: int) -> tuple[int, Process]:
    found = open_process(pid)
    assert found is not None
    return found


def wait_until_ended(pidfd: int) -> None:
    assert select.select([pidfd], [], [], 10)[0]


# --- the text ---------------------------------------------------------------------------------------------------------

names = st.one_of(
    st.binary(max_size=15).filter(lambda name: b"\0" not in name),
    st.text("() \n)S 1Z", max_size=15).map(str.encode),
)
numbers = st.integers(0, 2**40)


@given(
    pid=st.integers(1, 2**22),
    comm=names,
    state=st.sampled_from([b"R", b"S", b"D", b"Z", b"T", b"t", b"X", b"I"]),
    fields=st.lists(numbers, min_size=49, max_size=55),
)
def test_a_stat_line_is_taken_apart_whatever_the_command_is_called(
    pid: int, comm: bytes, state: bytes, fields: list[int]
) -> None:
    line = b"%d (%s) %s %s\n" % (pid, comm, state, b" ".join(b"%d" % field for field in fields))

    expected = Stat(
        pid=pid,
        comm=comm,
        state=state,
        ppid=fields[0],
        pgrp=fields[1],
        session=fields[2],
        cpu_ticks=fields[10] + fields[11],
        threads=fields[16],
        start_ticks=fields[18],
        rss_pages=fields[20],
        status=fields[48],
    )
    assert expected == parse_stat(line)


@pytest.mark.parametrize("text", [b"", b"1", b"1 (sh", b"1 (sh) S 0 1", b") 1 ("])
def test_what_is_no_stat_line_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_stat(text)


def test_a_main_thread_that_left_early_is_no_zombie_process() -> None:
    line = b"7 (x) Z 1 7 7 0 -1 0 0 0 0 0 5 6 0 0 20 0 %d 0 99 0 0 " + b"0 " * 30
    assert not parse_stat(line % 2).ended
    assert parse_stat(line % 1).ended


def test_our_own_stat_is_ours() -> None:
    stat = read_stat(os.getpid())
    assert stat is not None
    assert (os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0)) == (stat.pid, stat.ppid, stat.pgrp, stat.session)


# --- who is it --------------------------------------------------------------------------------------------------------


def test_a_running_process_is_found_again(spawn: Spawn) -> None:
    child = spawn("sleep", "60")
    pidfd, process = opened(child.pid)
    again = reopen(process)

    assert again is not None
    assert (child.pid, start_ticks(child.pid), boot_id()) == (process.pid, process.start_ticks, process.boot_id)
    assert not ended(again)
    os.close(pidfd)
    os.close(again)


def test_the_start_is_told_in_wall_time(spawn: Spawn) -> None:
    child = spawn("sleep", "60")
    found = open_process(child.pid, FixedClock())
    assert found is not None
    os.close(found[0])
    assert 999_990.0 < found[1].started <= 1_000_000.1


@pytest.mark.parametrize("pid", [NO_SUCH_PID, 2**31 - 1])
def test_a_pid_nobody_has_opens_nothing(pid: int) -> None:
    assert open_process(pid) is None
    assert start_ticks(pid) is None
    assert not is_zombie(pid)


def test_a_thread_is_no_process() -> None:
    code = "import threading; t = threading.Thread(target=input); t.start(); print(t.native_id, flush=True); t.join()"
    argv = [sys.executable, "-I", "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert open_process(int(child.stdout.readline())) is None
        child.communicate(b"\n")


def test_a_zombie_is_not_running_yet_still_itself_until_reaped(spawn: Spawn) -> None:
    child = spawn("sleep", "60")
    pidfd, process = opened(child.pid)
    assert send(pidfd, signal.SIGKILL)
    wait_until_ended(pidfd)

    assert is_zombie(child.pid)
    assert open_process(child.pid) is None
    again = reopen(process)
    assert again is not None
    assert ended(again)
    assert send(again, signal.SIGTERM)

    child.wait()
    assert reopen(process) is None
    assert not send(again, signal.SIGTERM)
    assert not is_zombie(child.pid)
    os.close(pidfd)
    os.close(again)


@pytest.mark.parametrize(
    "changes",
    [{"boot_id": "another boot"}, {"start_ticks": 1}, {"inode": 1}],
    ids=["boot", "start", "inode"],
)
def test_another_owner_of_the_pid_is_not_taken_for_it(spawn: Spawn, changes: dict[str, object]) -> None:
    child = spawn("sleep", "60")
    pidfd, process = opened(child.pid)
    os.close(pidfd)
    if process.inode == 0 and "inode" in changes:
        pytest.skip("this kernel has no pidfs (6.9)")
    assert reopen(msgspec.structs.replace(process, **changes)) is None


def test_a_record_without_an_inode_is_still_found(spawn: Spawn) -> None:
    child = spawn("sleep", "60")
    pidfd, process = opened(child.pid)
    again = reopen(msgspec.structs.replace(process, inode=0))
    assert again is not None
    os.close(pidfd)
    os.close(again)


def test_two_processes_never_share_an_inode(spawn: Spawn) -> None:
    seen = []
    for _ in range(3):
        pidfd, process = opened(spawn("sleep", "60").pid)
        os.close(pidfd)
        seen.append(process.inode)
    if seen[0] == 0:
        pytest.skip("this kernel has no pidfs (6.9)")
    assert len(set(seen)) == 3


def test_a_signal_across_users_is_refused_in_words(spawn: Spawn) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to have another user's process")
    program = (
        "import os, sys; from rota.daemon.procs.identity import send; from rota.errors import NotPermitted\n"
        "pidfd = os.pidfd_open(os.getppid()); os.setuid(65534)\n"
        "try: send(pidfd, 0)\n"
        "except NotPermitted: sys.exit(7)"
    )
    assert spawn(sys.executable, "-c", program).wait() == 7


# --- how did it end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [("exit 0", 0), ("exit 3", 3 << 8), ("exit 255", 255 << 8), ("kill -TERM $$", 15), ("kill -KILL $$", 9)],
)
def test_the_status_of_a_stranger_is_known_before_and_after_it_was_reaped(
    spawn: Spawn, line: str, expected: int
) -> None:
    child = spawn("sh", "-c", f"read go; {line}", stdin=subprocess.PIPE)
    pidfd, process = opened(child.pid)
    assert exit_of_stranger(process, pidfd) is None

    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    wait_until_ended(pidfd)
    assert exit_of_stranger(process, pidfd) == expected

    child.wait()
    after = exit_of_stranger(process, pidfd)
    os.close(pidfd)
    assert after in (expected, None)
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15):
        assert after == expected


def test_a_status_the_kernel_hides_is_unknown_not_zero(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    child = spawn("false")
    pidfd, process = os.pidfd_open(child.pid), Process(child.pid, start_ticks(child.pid) or 0, boot_id())
    wait_until_ended(pidfd)
    monkeypatch.setattr(identity, "_sees_every_status", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    status = exit_of_stranger(process, pidfd)
    os.close(pidfd)
    assert status is None


def test_a_reused_pid_does_not_lend_its_status(spawn: Spawn) -> None:
    gone, other = spawn("true"), spawn("sh", "-c", "exit 9")
    pidfd = os.pidfd_open(gone.pid)
    wait_until_ended(pidfd)
    gone.wait()
    eventually(lambda: is_zombie(other.pid))
    # As if `other` had been given the pid after `gone` was reaped.
    process = Process(other.pid, (start_ticks(other.pid) or 0) - 1, boot_id())
    status = exit_of_stranger(process, pidfd)
    os.close(pidfd)
    assert status in (0, None)


@given(st.integers(0, 255))
def test_an_exit_code_is_a_code(code: int) -> None:
    assert Exit(at=5.0, code=code) == exit_from_status(code << 8, 5.0)


@given(st.integers(1, 64), st.booleans())
def test_a_signal_is_a_signal_with_or_without_a_core(number: int, core: bool) -> None:
    assert Exit(at=5.0, signal=number) == exit_from_status(number | (0x80 if core else 0), 5.0)


# --- limits -----------------------------------------------------------------------------------------------------------


def test_limits_and_priorities_arrive(spawn: Spawn) -> None:
    child = spawn("sleep", "60")
    apply_limits(child.pid, {"NOFILE": 77, "core": 0}, nice=7, oom_score=250)

    assert resource.prlimit(child.pid, resource.RLIMIT_NOFILE) == (77, 77)
    assert resource.prlimit(child.pid, resource.RLIMIT_CORE) == (0, 0)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
    with open(f"/proc/{child.pid}/oom_score_adj") as file:
        assert file.read() == "250\n"


def test_minus_one_is_no_limit(spawn: Spawn) -> None:
    child = spawn("sleep", "60")
    if resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("this user has a file size limit")
    apply_limits(child.pid, {"FSIZE": -1})
    assert resource.prlimit(child.pid, resource.RLIMIT_FSIZE) == (resource.RLIM_INFINITY,) * 2


def test_an_unknown_limit_is_named_with_the_known_ones(spawn: Spawn) -> None:
    with pytest.raises(SpecError, match="NOFILES") as caught:
        apply_limits(spawn("sleep", "60").pid, {"NOFILES": 1})
    assert "NOFILE," in caught.value.hint


def test_a_limit_above_what_is_allowed_is_refused_in_words(spawn: Spawn) -> None:
    # Not even root may pass the kernel's own ceiling (fs.nr_open).
    with pytest.raises(NotPermitted, match="NOFILE"):
        apply_limits(spawn("sleep", "60").pid, {"NOFILE": 2**40})


def test_limits_of_a_process_that_has_gone_are_nobodys() -> None:
    apply_limits(NO_SUCH_PID, {"NOFILE": 10}, nice=1, oom_score=1)
