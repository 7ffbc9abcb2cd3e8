"""Jobs in processes of their own: they can be ended whatever they do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from rota import Budget, Scheduler
from rota.errors import SpecError
from rota.jobs.run import Outcome
from tests.eventually import eventually
from tests.process import schedule_jobs as jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rota(tmp_path: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(f"sqlite:///{tmp_path}/rota.db", name="shop", shutdown_timeout="1s")
    yield scheduler
    scheduler.stop()
    scheduler.store.close()


def test_it_runs_elsewhere_with_its_run_and_arguments(rota: Scheduler, tmp_path: Path) -> None:
    rota.job(jobs.note, isolate="process", args=[str(tmp_path / "a")], kwargs={"text": "hello"})
    rota.job(jobs.note_async, isolate="process", args=[str(tmp_path / "b")])
    rota.start()
    run = rota.trigger("note").wait("40s")
    assert (run.outcome, run.exit_code) == (Outcome.OK, 0)
    pid, id, attempt, fence, text = (tmp_path / "a").read_text().split()
    assert int(pid) != os.getpid()
    assert (int(id), int(attempt), int(fence), text) == (run.id, 1, run.fence, "hello")
    assert rota.trigger("note_async").wait("40s").outcome is Outcome.OK


@pytest.mark.parametrize(
    ("function", "error", "exit_code", "signal"),
    [
        (jobs.fail, "ValueError: not today", 1, None),
        (jobs.die, "killed by SIGKILL", None, "SIGKILL"),
        (jobs.leave, "the process ended with exit code 7 before the function returned", 7, None),
    ],
)
def test_how_it_ended_is_known(rota: Scheduler, function: object, error: str, exit_code: int, signal: str) -> None:
    rota.job(function, name="job", isolate="process")
    rota.start()
    run = rota.trigger("job").wait("40s")
    assert (run.outcome, run.error, run.exit_code, run.signal) == (Outcome.FAILED, error, exit_code, signal)


def test_a_timeout_ends_it(rota: Scheduler, tmp_path: Path) -> None:
    rota.job(jobs.spin, isolate="process", args=[str(tmp_path / "pid")], timeout="300ms", kill_after="300ms")
    rota.start()
    run = rota.trigger("spin").wait("30s")
    assert (run.outcome, run.error) == (Outcome.TIMEOUT, "ended after its timeout of 300ms")


def test_what_ignores_everything_is_killed(rota: Scheduler, tmp_path: Path) -> None:
    rota.job(jobs.spin, isolate="process", args=[str(tmp_path / "pid")], kill_after="300ms")
    rota.start()
    handle = rota.trigger("spin")
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), within=30))
    assert rota.cancel(handle.id)
    run = handle.wait("30s")
    assert (run.outcome, run.signal) == (Outcome.CANCELLED, "SIGKILL")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_may_clean_up_when_told_to_end(rota: Scheduler, tmp_path: Path) -> None:
    rota.job(jobs.clean_up, isolate="process", args=[str(tmp_path / "out")], kill_after="40s")
    rota.start()
    handle = rota.trigger("clean_up")
    eventually(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text(), within=30)
    assert rota.cancel(handle.id)
    assert handle.wait("30s").outcome is Outcome.CANCELLED
    assert (tmp_path / "out").read_text() == "cleaned up"


def test_what_it_started_ends_with_it(rota: Scheduler, tmp_path: Path) -> None:
    rota.job(jobs.with_child, isolate="process", args=[str(tmp_path / "pid")])
    rota.start()
    handle = rota.trigger("with_child")
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), within=40))
    assert rota.cancel(handle.id)
    assert handle.wait("40s").outcome is Outcome.CANCELLED

    def gone() -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid  # an orphan becomes ours, as the keeper's
        except ChildProcessError:
            return True

    eventually(gone)


def test_progress_and_batches_are_seen_outside(rota: Scheduler) -> None:
    rota.job(jobs.in_batches, isolate="process")
    rota.start()
    run = rota.trigger("in_batches").wait("40s")
    assert (run.outcome, run.done, run.total) == (Outcome.OK, 30, 30)


def test_budgets_are_shared_with_it_and_private_ones_refused(rota: Scheduler) -> None:
    rota.job(jobs.take, isolate="process", args=[5])
    rota.start()
    run = rota.trigger("take").wait("40s")
    assert run.outcome is Outcome.FAILED
    assert "budget memory lives in the memory of the process that started this one" in run.error
    assert not Budget("shared", limit=5, per="1h", store=rota.store).try_take()


def test_a_local_function_cannot_be_isolated(rota: Scheduler) -> None:
    def local() -> None:
        """Nobody can import this."""

    with pytest.raises(SpecError, match="cannot be isolated") as caught:
        rota.job(local, isolate="process")
    assert "module level" in caught.value.hint


def test_stopping_ends_it(rota: Scheduler, tmp_path: Path) -> None:
    rota.job(jobs.spin, isolate="process", args=[str(tmp_path / "pid")], kill_after="300ms")
    rota.start()
    handle = rota.trigger("spin")
    eventually((tmp_path / "pid").exists, within=40)
    began = time.monotonic()
    rota.stop("100ms")
    assert time.monotonic() - began < 10
    run = rota.store.run(handle.id)
    assert run is not None
    assert (run.outcome, run.error) == (Outcome.CANCELLED, "")
    assert run.note == "the scheduler stopped"
