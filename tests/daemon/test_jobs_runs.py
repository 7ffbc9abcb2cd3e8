"""Jobs under a real daemon: when they run, what their rows say, where their output lies."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.errors import NotPermitted, TargetNotFound
from rota.jobs.run import Outcome, RunState
from rota.process.spec import StopSpec
from rota.wire.messages import Act, BudgetTerms, CancelRun, PauseJob, RunJob, StartSpecs
from tests.daemon.host import alive, python, shell
from tests.daemon.jobs_bed import OFTEN, ended, finished, job, notes, noting, row, run, runs
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host


def test_a_job_runs_once_at_each_due_time(host: Host, work: Path) -> None:
    host.start_all([job("tick", noting(work), cron=OFTEN)])
    assert host.status("tick") == "stopped"
    found = finished(host, "tick", 3)
    dues = [row.due for row in found]
    assert len(set(dues)) == len(dues)
    assert [b - a for a, b in itertools.pairwise(dues)] == [1.0] * (len(dues) - 1)
    assert all(row.started is not None and row.due is not None and 0 <= row.started - row.due < 1 for row in found)
    assert {row.outcome for row in found} == {Outcome.OK}
    assert [note[0] for note in notes(work)][: len(found)] == [row.id for row in found]
    assert [note[2] for note in notes(work)][: len(found)] == [f"{due:.0f}" for due in dues]


def test_a_manual_run_shows_its_output_and_ends_with_its_code(host: Host) -> None:
    host.start_all([job("import", shell("echo out; echo err >&2; exit 7"))])
    shown = host.cli("run", "import")
    assert shown.code == 7
    assert "out\n" in shown.out
    assert "err\n" in shown.text
    (found,) = finished(host, "import")
    assert (found.outcome, found.exit_code, found.trigger, found.due) == (Outcome.FAILED, 7, "manual", None)
    assert sorted(Path(found.output).read_text().splitlines()) == ["err", "out"]
    assert found.output.endswith(f"/runs/import/{found.id}.log")


def test_a_signal_is_128_and_its_number(host: Host) -> None:
    host.start_all([job("dies", shell("kill -SEGV $$"))])
    assert host.cli("run", "dies").code == 128 + 11
    assert finished(host, "dies")[0].signal == "SIGSEGV"


def test_all_output_of_a_run_is_shown_however_much(host: Host) -> None:
    host.start_all([job("chatty", shell("seq 1 60000"))])
    shown = host.cli("run", "chatty")
    assert shown.code == 0
    assert [line for line in shown.out.splitlines() if line.isdigit()] == [str(number) for number in range(1, 60001)]


def test_a_program_that_cannot_be_started_is_a_failed_run(host: Host) -> None:
    host.start_all([job("none", ("/nonexistent/program",))])
    assert host.cli("run", "none").code == 1
    (found,) = finished(host, "none")
    assert found.outcome is Outcome.FAILED
    assert "/nonexistent/program" in found.error


def test_a_rerun_names_the_run_it_repeats(host: Host) -> None:
    host.start_all([job("import", shell("exit 3"))])
    first = run(host, "import")
    ended(host, first)
    assert host.cli("rerun", str(first)).code == 3
    assert finished(host, "import", 2)[-1].parent == first
    with pytest.raises(TargetNotFound, match="no run 999"):
        host.call(RunJob(name="", rerun_of=999))


def test_unknown_jobs_and_apps_are_told_apart(host: Host) -> None:
    host.start_all([job("import", shell("true"))])
    host.start("web", shell("exec sleep 1000"))
    with pytest.raises(TargetNotFound, match="no job imprt"):
        host.call(RunJob(name="imprt"))
    with pytest.raises(NotPermitted, match="web is not a job"):
        host.call(RunJob(name="web"))


# --- overlap -----------------------------------------------------------------------------------------------------------


def test_overlap_skip_gives_the_due_time_a_row(host: Host, work: Path) -> None:
    host.start_all([job("slow", noting(work, "exec sleep 1000"), cron=OFTEN)])
    found = eventually(lambda: len(r := runs(host, "slow", outcomes=("skipped",))) >= 2 and r)
    assert "still going" in found[0].note
    assert len(notes(work)) == 1
    assert len(host.records()) == 1


def test_overlap_queue_keeps_one_waiting_and_starts_it_next(host: Host, work: Path) -> None:
    host.start_all([job("q", noting(work, f"until [ -e {work}/go ]; do sleep 0.02; done"), overlap="queue")])
    first, second = run(host, "q"), run(host, "q")
    with pytest.raises(NotPermitted, match="running already"):
        host.call(RunJob(name="q", follow=False))
    assert row(host, second).state is RunState.WAITING
    (work / "go").touch()
    assert ended(host, first).outcome is Outcome.OK
    assert ended(host, second).outcome is Outcome.OK
    assert [note[0] for note in notes(work)] == [first, second]


def test_overlap_replace_ends_the_old_run_before_the_new_one(host: Host, work: Path) -> None:
    host.start_all([job("r", noting(work, "exec sleep 1000"), overlap="replace")])
    first = run(host, "r")
    eventually(lambda: notes(work))
    pid = host.pid("r")
    second = run(host, "r")
    assert ended(host, first).outcome is Outcome.CANCELLED
    assert "replaced" in row(host, first).note
    assert not alive(pid)
    eventually(lambda: len(notes(work)) == 2)
    assert row(host, second).state is RunState.RUNNING


def test_overlap_allow_runs_beside_in_instances_that_go_afterwards(host: Host, work: Path) -> None:
    host.start_all([job("p", noting(work, f"until [ -e {work}/go ]; do sleep 0.02; done"), overlap="allow")])
    ids = [run(host, "p") for _ in range(3)]
    eventually(lambda: len(notes(work)) == 3)
    assert len(host.records()) == 3
    (work / "go").touch()
    for id in ids:
        assert ended(host, id).outcome is Outcome.OK
    eventually(lambda: [record.instance.number for record in host.records()] == [0])


def test_concurrency_counts_over_all_instances(host: Host, work: Path) -> None:
    host.start_all([job("c", noting(work, "exec sleep 1000"), concurrency=2, app={"instances": 3})])
    run(host, "c"), run(host, "c")
    with pytest.raises(NotPermitted):
        host.call(RunJob(name="c", follow=False))
    assert len(host.records()) == 3


# --- timeout, retry, verify, after, budget -------------------------------------------------------------------------------


def test_a_timeout_ends_the_whole_tree(host: Host, work: Path) -> None:
    line = f"trap '' TERM; sleep 1000 & echo $! > {work}/child; (setsid sleep 1000 & echo $! > {work}/detached); wait"
    host.start_all([job("hang", shell(line), timeout=0.5)])
    id = run(host, "hang")
    assert ended(host, id).outcome is Outcome.TIMEOUT
    for name in ("child", "detached"):
        assert not alive(int((work / name).read_text()))
    assert "0.5 s" in row(host, id).error


def test_retries_follow_with_backoff_and_count(host: Host, work: Path) -> None:
    line = f"[ $(wc -l < {work}/notes) -ge 3 ]"
    host.start_all([job("flaky", noting(work, line), retries=3, retry_backoff=0.05)])
    found = ended(host, run(host, "flaky"))
    assert (found.outcome, found.attempt) == (Outcome.OK, 3)
    assert [note[1] for note in notes(work)] == [1, 2, 3]
    assert "attempt 1: exit code 1" in found.note


def test_when_all_retries_are_used_the_run_failed_once(host: Host, work: Path) -> None:
    host.start_all([job("bad", noting(work, "exit 5"), retries=2, retry_backoff=0.02)])
    found = ended(host, run(host, "bad"))
    assert (found.outcome, found.attempt, found.exit_code) == (Outcome.FAILED, 3, 5)
    assert len(runs(host, "bad")) == 1


def test_a_run_between_attempts_keeps_its_place_and_can_be_cancelled(host: Host, work: Path) -> None:
    host.start_all([job("bad", noting(work, "exit 5"), retries=2, retry_backoff=1000.0)])
    id = run(host, "bad")
    eventually(lambda: row(host, id).state is RunState.WAITING)
    with pytest.raises(NotPermitted):
        host.call(RunJob(name="bad", follow=False))
    host.call(CancelRun(id=id))
    assert ended(host, id).outcome is Outcome.CANCELLED


def test_verify_decides_whether_it_was_done(host: Host, work: Path) -> None:
    check = ("/bin/sh", "-c", f'echo "checked $ROTA_RUN_ID"; test -e {work}/done')
    host.start_all([job("snap", shell("echo ran"), verify=check)])
    first = ended(host, run(host, "snap"))
    assert (first.outcome, first.exit_code) == (Outcome.FAILED, 0)
    assert "verify said no" in first.error
    assert Path(first.output).read_text() == f"ran\nchecked {first.id}\n"
    (work / "done").touch()
    assert ended(host, run(host, "snap")).outcome is Outcome.OK


def test_after_runs_when_all_it_waits_for_have_succeeded_anew(host: Host, work: Path) -> None:
    host.start_all(
        [
            job("a", shell("true")),
            job("b", shell(f"test -e {work}/b")),
            job("report", noting(work), after=("a", "b")),
        ]
    )
    ended(host, run(host, "a"))
    ended(host, run(host, "b"))
    assert notes(work) == []
    (work / "b").touch()
    ended(host, run(host, "b"))
    (report,) = finished(host, "report")
    assert report.trigger == "after"
    ended(host, run(host, "b"))
    ended(host, run(host, "b"))
    assert len(runs(host, "report")) == 1
    ended(host, run(host, "a"))
    assert len(finished(host, "report", 2)) == 2


def test_a_budget_is_taken_before_the_run(host: Host, work: Path) -> None:
    spec = job("pull", noting(work), budget={"api": 2.0})
    host.call(StartSpecs(specs=(spec,), from_file=True, budgets={"api": BudgetTerms(limit=2, per=0.6)}))
    first = ended(host, run(host, "pull"))
    second = ended(host, run(host, "pull"))
    assert first.started is not None
    assert second.started is not None
    assert second.started - first.started >= 0.55


def test_a_run_that_waits_for_its_budget_can_be_cancelled(host: Host, work: Path) -> None:
    spec = job("pull", noting(work), budget={"api": 1.0})
    host.call(StartSpecs(specs=(spec,), from_file=True, budgets={"api": BudgetTerms(limit=1, per=1000)}))
    ended(host, run(host, "pull"))
    waiting = run(host, "pull")
    assert row(host, waiting).started is None
    host.call(CancelRun(id=waiting))
    assert ended(host, waiting).outcome is Outcome.CANCELLED
    assert len(notes(work)) == 1


def test_a_budget_that_never_holds_so_much_fails_the_run_at_once(host: Host) -> None:
    spec = job("pull", shell("true"), budget={"api": 3.0})
    host.call(StartSpecs(specs=(spec,), from_file=True, budgets={"api": BudgetTerms(limit=2, per=60)}))
    found = ended(host, run(host, "pull"))
    assert found.outcome is Outcome.FAILED
    assert "never holds more than 2" in found.error


# --- people --------------------------------------------------------------------------------------------------------------


def test_run_on_start_runs_once_however_many_instances(host: Host, work: Path) -> None:
    host.start_all([job("boot", noting(work), run_on_start=True, app={"instances": 2})])
    finished(host, "boot")
    assert len(notes(work)) == 1
    assert len(host.records()) == 2


def test_a_paused_job_does_not_run_and_does_not_catch_up(host: Host, work: Path) -> None:
    host.start_all([job("tick", noting(work), cron=OFTEN)])
    finished(host, "tick", 1)
    host.call(PauseJob(name="tick", paused=True))
    before = finished(host, "tick", 1)[-1].due or 0.0
    assert host.record("tick").run is not None
    assert host.record("tick").run.paused  # type: ignore[union-attr]
    eventually(lambda: time.time() > before + 2.2)
    noted = len(notes(work))
    host.call(PauseJob(name="tick", paused=False))
    finished(host, "tick", noted + 2)
    rows = runs(host, "tick")
    (absence,) = [row for row in rows if row.outcome is Outcome.SKIPPED]
    assert "paused" in absence.note
    later = [row.due for row in rows if row.due is not None and row.due > (absence.due or 0)]
    assert later[0] == (absence.due or 0) + 1  # nothing between the absence and the next run is without a row


def test_stop_cancels_the_run_and_those_in_line(host: Host, work: Path) -> None:
    host.start_all([job("q", noting(work, "exec sleep 1000"), overlap="queue")])
    first, second = run(host, "q"), run(host, "q")
    eventually(lambda: notes(work))
    host.call(Act(action="stop", targets=("q",)))
    assert row(host, first).outcome is Outcome.CANCELLED
    assert row(host, second).outcome is Outcome.CANCELLED
    assert len(notes(work)) == 1


def test_cancel_ends_a_run(host: Host) -> None:
    host.start_all([job("long", shell("exec sleep 1000"))])
    id = run(host, "long")
    host.reaches("long", "online")
    host.call(CancelRun(id=id))
    found = ended(host, id)
    assert (found.outcome, found.note) == (Outcome.CANCELLED, "cancelled by the user")
    with pytest.raises(TargetNotFound):
        host.call(CancelRun(id=id))


def test_deleting_a_job_while_it_runs_ends_the_run_and_keeps_its_row(host: Host) -> None:
    host.start_all([job("long", shell("exec sleep 1000"), cron="0 0 1 1 *", overlap="queue")])
    first, second = run(host, "long"), run(host, "long")
    pid = host.reaches("long", "online") and host.pid("long")
    host.call(Act(action="delete", targets=("long",)))
    assert not alive(pid)
    assert [row.outcome for row in runs(host, "long")] == [Outcome.CANCELLED] * 2
    assert [row.id for row in runs(host, "long")] == [first, second]
    host.start_all([job("long", shell("true"))])
    assert ended(host, run(host, "long")).outcome is Outcome.OK


def test_a_schedule_can_be_changed_and_a_run_under_way_is_left_alone(host: Host, work: Path) -> None:
    host.start_all([job("j", noting(work, "exec sleep 1000"), cron="0 0 1 1 *")])
    id = run(host, "j")
    pid = host.reaches("j", "online") and host.pid("j")
    host.start_all([job("j", noting(work), cron=OFTEN, overlap="allow")])
    assert alive(pid)
    finished(host, "j", 2)
    assert row(host, id).state is RunState.RUNNING
    host.call(CancelRun(id=id))
    assert ended(host, id).outcome is Outcome.CANCELLED


def test_only_so_many_runs_and_their_files_are_kept(host: Host) -> None:
    host.start_all([job("k", shell("echo x"), keep_runs=3)])
    ids = [ended(host, run(host, "k")).id for _ in range(6)]
    assert [row.id for row in runs(host, "k")] == ids[-3:]
    files = host.path / "logs" / "runs" / "k"
    eventually(
        lambda: {path.name.strip(".").partition(".")[0] for path in files.iterdir()} == set(map(str, ids[-3:])), 5
    )


def test_a_stubborn_program_is_a_timeout_not_a_hang(host: Host) -> None:
    stop = {"stop": StopSpec(kill_timeout=0.2)}
    host.start_all([job("deaf", python("stubborn"), timeout=0.3, app=stop)])
    assert ended(host, run(host, "deaf")).outcome is Outcome.TIMEOUT
