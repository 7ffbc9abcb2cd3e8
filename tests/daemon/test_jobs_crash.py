"""Jobs and every way to die: no due time runs twice, none goes without a row."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.jobs.run import Outcome, RunState
from rota.stores.records import Claim, Claimed, Worker
from rota.stores.sqlite import SqliteStore
from rota.wire.messages import Act, PauseJob
from tests.daemon.host import alive, kill, shell
from tests.daemon.jobs_bed import OFTEN, ended, finished, job, notes, noting, row, run, runs
from tests.daemon.meanwhile import in_background
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

UNTIL = "until [ -e {work}/go ]; do sleep 0.02; done"


def test_a_run_goes_on_while_the_daemon_is_replaced(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work, UNTIL.format(work=work) + "; echo late; exit 4"))])
    id = run(host, "j")
    eventually(lambda: notes(work))
    host.back(host.kill_daemon())
    assert row(host, id).state is RunState.RUNNING
    (work / "go").touch()
    found = ended(host, id)
    assert (found.outcome, found.exit_code, len(notes(work))) == (Outcome.FAILED, 4, 1)
    assert "late" in Path(found.output).read_text()


def test_a_run_that_ends_while_no_daemon_is_there_has_its_exit_code(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work, UNTIL.format(work=work) + "; exit 4"))])
    id = run(host, "j")
    pid = host.reaches("j", "online") and host.pid("j")
    former = host.daemon
    kill(former, signal.SIGSTOP)
    (work / "go").touch()
    eventually(lambda: not alive(pid))
    kill(former)
    host.back(former)
    found = ended(host, id)
    assert (found.outcome, found.exit_code, len(notes(work))) == (Outcome.FAILED, 4, 1)


def test_a_run_that_ended_before_its_daemon_could_note_its_pid_is_not_run_again(host: Host, work: Path) -> None:
    script = f'kill -9 $PPID; echo "$ROTA_RUN_ID $ROTA_RUN_ATTEMPT -" >> {work}/notes; exit 4'
    host.start_all([job("j", shell(script))])
    former = host.daemon
    in_background(lambda: run(host, "j")).join()
    host.back(former)
    (found,) = runs(host, "j")
    found = ended(host, found.id)
    assert (found.outcome, found.exit_code, len(notes(work))) == (Outcome.FAILED, 4, 1)


def test_a_run_claimed_and_not_started_is_started_once(host: Host, work: Path) -> None:
    """What kill -9 between claim and start leaves behind, written by hand."""
    host.start_all([job("j", noting(work), cron="0 0 1 1 *")])
    former = host.daemon
    kill(former, signal.SIGSTOP)
    id = _claim(host, "j", due=time.time() - 5)
    kill(former)
    host.back(former)
    found = ended(host, id)
    assert found.outcome is Outcome.OK
    assert [note[0] for note in notes(work)] == [id]


def test_a_run_written_down_as_running_whose_process_was_never_ordered_is_started(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work), cron="0 0 1 1 *")])
    ended(host, run(host, "j"))
    former = host.daemon
    kill(former, signal.SIGSTOP)
    id = _claim(host, "j", due=time.time() - 5)
    store = SqliteStore(host.home.db)
    fence = store.run(id).fence  # type: ignore[union-attr]
    assert store.place(id, fence, instance=0, pid=None, output="", gen=2)
    assert store.advance(id, fence, RunState.RUNNING, time.time())
    store.close()
    kill(former)
    host.back(former)
    assert ended(host, id).outcome is Outcome.OK
    assert [note[0] for note in notes(work)][1:] == [id]


def _claim(host: Host, name: str, due: float) -> int:
    store = SqliteStore(host.home.db)
    now = time.time()
    claimed = store.claim(
        Claim(app="", job=name, worker=Worker("x"), now=now, lease_until=None, due=due, state=RunState.CLAIMED)
    )
    store.close()
    assert isinstance(claimed, Claimed)
    return claimed.id


def test_a_queued_run_waits_on_after_a_crash(host: Host, work: Path) -> None:
    host.start_all([job("q", noting(work, UNTIL.format(work=work)), overlap="queue")])
    first, second = run(host, "q"), run(host, "q")
    eventually(lambda: notes(work))
    host.back(host.kill_daemon())
    assert row(host, second).state is RunState.WAITING
    (work / "go").touch()
    assert ended(host, first).outcome is Outcome.OK
    assert ended(host, second).outcome is Outcome.OK
    assert [note[0] for note in notes(work)] == [first, second]


def test_a_retry_that_waits_comes_after_a_crash_too(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work, f"[ -e {work}/go ]"), retries=1, retry_backoff=0.5)])
    id = run(host, "j")
    eventually(lambda: row(host, id).state is RunState.WAITING)
    (work / "go").touch()
    host.back(host.kill_daemon())
    found = ended(host, id)
    assert (found.outcome, found.attempt) == (Outcome.OK, 2)
    assert [note[1] for note in notes(work)] == [1, 2]


def test_a_retry_written_down_as_running_and_never_ordered_comes_once(host: Host, work: Path) -> None:
    """What kill -9 between the row and the order leaves behind: the exit of the first attempt is not the second one's."""
    host.start_all([job("j", noting(work, f"[ -e {work}/go ]"), retries=1, retry_backoff=600)])
    id = run(host, "j")
    eventually(lambda: row(host, id).state is RunState.WAITING)
    former = host.daemon
    kill(former, signal.SIGSTOP)
    (work / "go").touch()
    store = SqliteStore(host.home.db)
    fence = store.run(id).fence  # type: ignore[union-attr]
    assert store.place(id, fence, instance=0, pid=None, output=f"{work}/log", gen=2)
    assert store.advance(id, fence, RunState.RUNNING, time.time(), attempt=2)
    store.close()
    kill(former)
    host.back(former)
    found = ended(host, id)
    assert (found.outcome, found.attempt) == (Outcome.OK, 2)
    assert [note[1] for note in notes(work)] == [1, 2]


def test_a_timeout_holds_across_a_crash(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work, "exec sleep 1000"), timeout=1.5)])
    id = run(host, "j")
    eventually(lambda: notes(work))
    host.back(host.kill_daemon())
    found = ended(host, id)
    assert found.outcome is Outcome.TIMEOUT
    assert found.duration is not None
    assert 1.3 < found.duration < 4


def test_verification_is_made_up_for_after_a_crash(host: Host, work: Path) -> None:
    check = ("/bin/sh", "-c", f"echo x >> {work}/checks; test -e {work}/go || exec sleep 1000")
    host.start_all([job("j", noting(work), verify=check)])
    id = run(host, "j")
    eventually(lambda: (work / "checks").exists())
    (work / "go").touch()
    host.back(host.kill_daemon())
    assert ended(host, id).outcome is Outcome.OK
    assert len(notes(work)) == 1


def test_a_follower_is_released_once_across_crashes(host: Host, work: Path) -> None:
    host.start_all([job("a", shell("true")), job("b", shell("true")), job("z", noting(work), after=("a", "b"))])
    ended(host, run(host, "a"))
    host.back(host.kill_daemon())
    ended(host, run(host, "b"))
    assert len(finished(host, "z")) == 1
    host.back(host.kill_daemon())
    ended(host, run(host, "b"))
    ended(host, run(host, "b"))
    assert len(runs(host, "z")) == 1


def test_a_run_cut_short_by_a_shutdown_is_abandoned_and_its_policy_decides(host: Host, work: Path) -> None:
    host.start_all(
        [
            job("once", noting(work, "exec sleep 1000")),
            job("again", shell(f"[ -e {work}/go ] || exec sleep 1000"), retries=1, retry_backoff=0.05),
        ]
    )
    once, again = run(host, "once"), run(host, "again")
    eventually(lambda: notes(work))
    host.reaches("again", "online")
    (work / "go").touch()
    kill(host.daemon, signal.SIGTERM)
    eventually(lambda: not host.processes())
    host.wake()
    found = ended(host, once)
    assert (found.outcome, found.error) == (Outcome.ABANDONED, "rota was shut down while it ran")
    found = ended(host, again)
    assert (found.outcome, found.attempt) == (Outcome.OK, 2)
    assert len(notes(work)) == 1


def test_keeper_and_daemon_killed_the_run_goes_on(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work, UNTIL.format(work=work)))])
    id = run(host, "j")
    eventually(lambda: notes(work))
    for pid in (host.keeper, host.daemon):
        kill(pid, signal.SIGSTOP)
    for pid in list(host.processes()):
        if pid != host_job(host):
            kill(pid)
    host.wake()
    assert row(host, id).state is RunState.RUNNING
    (work / "go").touch()
    found = ended(host, id)
    assert found.outcome in (Outcome.OK, Outcome.ABANDONED)  # nobody may have been there to see the exit code
    assert len(notes(work)) == 1


def host_job(host: Host) -> int:
    """The process that is neither keeper nor daemon."""
    return next(pid for pid, line in host.processes().items() if "echo" in line)


def test_due_times_that_passed_while_nothing_ran_have_rows(host: Host, work: Path) -> None:
    host.start_all([job("wild", noting(work), cron=OFTEN), job("new", noting(work), cron=OFTEN, missed="none")])
    finished(host, "wild", 1)
    kill(host.daemon, signal.SIGTERM)
    eventually(lambda: not host.processes())
    stopped = time.time()
    eventually(lambda: time.time() > stopped + 2.5)
    host.wake()
    finished(host, "wild", 5)
    for name in ("wild", "new"):
        dues = [row.due for row in runs(host, name)]
        assert dues == [dues[0] + n for n in range(len(dues))]  # type: ignore[operator]
        assert Outcome.MISSED in {row.outcome for row in runs(host, name)}
    ran = [row.id for name in ("wild", "new") for row in runs(host, name) if row.started is not None]
    eventually(lambda: {note[0] for note in notes(work)} >= set(ran))
    assert len(notes(work)) == len({note[0] for note in notes(work)})


def test_a_pause_survives_a_crash(host: Host, work: Path) -> None:
    host.start_all([job("tick", noting(work), cron=OFTEN)])
    host.call(PauseJob(name="tick", paused=True))
    before = len(notes(work))
    host.back(host.kill_daemon())
    now = time.time()
    eventually(lambda: time.time() > now + 1.5)
    assert len(notes(work)) <= before + 1  # a run may have been under way
    host.call(PauseJob(name="tick", paused=False))
    finished(host, "tick", before + 2)
    dues = [row.due for row in runs(host, "tick")]
    assert len(dues) == len(set(dues))


def test_instances_made_for_runs_go_after_a_crash(host: Host, work: Path) -> None:
    host.start_all([job("p", noting(work, UNTIL.format(work=work)), overlap="allow")])
    ids = [run(host, "p") for _ in range(3)]
    eventually(lambda: len(notes(work)) == 3)
    former, pids = host.daemon, [host.pid(record.instance.id) for record in host.records()]
    kill(former, signal.SIGSTOP)
    (work / "go").touch()
    eventually(lambda: not any(map(alive, pids)))
    kill(former)
    host.back(former)
    for id in ids:
        assert ended(host, id).outcome is Outcome.OK
    eventually(lambda: len(host.records()) == 1)


@pytest.mark.timeout(90)
def test_a_job_of_every_second_under_repeated_sigkill(host: Host, work: Path) -> None:
    """Rows against the job's own record: each due time one row, each row that ran one note, and no note without a row."""
    chance = random.Random(7)
    host.start_all([job("tick", noting(work, "sleep 0.2"), cron=OFTEN), job("burst", noting(work), cron=OFTEN)])
    finished(host, "tick", 1)
    deadline = time.monotonic() + float(os.environ.get("ROTA_CRASH_SECONDS", "10"))
    kills = 0
    while kills < 6 or time.monotonic() < deadline:  # a busy machine takes longer for the least that proves anything
        pause = time.monotonic() + chance.choice((0.0, 0.02, 0.1, 0.3, 0.9)) + chance.random() * 0.1
        eventually(lambda until=pause: time.monotonic() > until)
        # Aim at the moment it matters: around the start of a second.
        if chance.random() < 0.6:
            aim = 1 - time.time() % 1 + chance.random() * 0.03
            until = time.monotonic() + aim
            eventually(lambda until=until: time.monotonic() > until, every=0.0005)
        host.back(host.kill_daemon(), within=30)
        kills += 1
    for name in ("tick", "burst"):
        host.call(PauseJob(name=name, paused=True))
    eventually(lambda: all(row.outcome is not None for row in runs(host)))
    noted = [note[0] for note in notes(work)]
    assert len(noted) == len(set(noted)), "a run was started twice"
    for name in ("tick", "burst"):
        rows = runs(host, name)
        dues = [row.due for row in sorted(rows, key=lambda row: row.due or 0)]
        assert dues == [dues[0] + n for n in range(len(dues))], "a due time has no row"  # type: ignore[operator]
    ran = {row.id for row in runs(host) if row.outcome in (Outcome.OK, Outcome.FAILED)}
    started = {row.id for row in runs(host) if row.started is not None}
    assert ran <= set(noted) <= started
    host.call(Act(action="delete", targets=("all",)))
