"""examples/poller, run for real against its API with time scaled down: not one 429, whatever the intervals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rota.jobs.run import Outcome
from rota.stores.sqlite import SqliteStore
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.process.conftest import Spawn

POLLER = Path(__file__).parents[2] / "examples" / "poller"
SPEED = 300


class Contest:
    """The network and the service, in a folder of their own."""

    def __init__(self, spawn: Spawn, folder: Path) -> None:
        self._spawn, self._folder = spawn, folder
        self._environ = {**os.environ, "SPEED": str(SPEED), "ROTA_STORE": f"sqlite:///{folder}/rota.db"}
        network = spawn(
            sys.executable,
            str(POLLER / "api.py"),
            "0",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environ,
        )
        assert network.stdout is not None
        self.url = network.stdout.readline().decode().split()[-1]
        self.store = SqliteStore(folder / "rota.db")

    def start(self, **environ: str) -> subprocess.Popen[bytes]:
        environ = {**self._environ, "CONTEST_API": self.url, **environ}
        argv = (sys.executable, str(POLLER / "contest.py"))
        return self._spawn(*argv, cwd=self._folder, env=environ, stderr=subprocess.DEVNULL)

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/stats", timeout=5) as answer:
            body: dict[str, Any] = json.load(answer)
            return body

    def served(self) -> int:
        return int(sum(self.stats()["served"].values()))


@pytest.fixture
def contest(spawn: Spawn, tmp_path: Path) -> Iterator[Contest]:
    made = Contest(spawn, tmp_path)
    yield made
    made.store.close()


def test_the_service_polls_sweeps_and_freezes_without_a_single_429(contest: Contest, tmp_path: Path) -> None:
    service = contest.start()
    eventually(lambda: contest.served() >= 12, within=60)
    wish = contest.store.request("contest", "freeze", time.time())
    freeze = eventually(lambda: (run := contest.store.run(wish)) and run.outcome and run, within=60)
    service.terminate()
    assert service.wait(timeout=30) == 0

    assert freeze.outcome is Outcome.OK
    snapshot = json.loads((tmp_path / "snapshot.json").read_text())
    assert 100 < freeze.total == freeze.done <= snapshot["entries"]
    assert 0 < snapshot["valid"] < snapshot["entries"]
    stats = contest.stats()
    assert stats["refused"] == {"/mentions": 0, "/lookup": 0}
    assert stats["most_in_a_window"]["/lookup"] <= 15
    (point,) = contest.store.checkpoints("mentions")
    assert point.records_total is not None
    assert point.records_total >= snapshot["entries"]
    levels = {level.key: level.capacity for level in contest.store.budget_levels(time.time())}
    assert levels == {"mentions": 10.0, "tweet_lookup": 15.0}


def test_with_the_old_intervals_the_budget_is_used_up_and_never_exceeded(contest: Contest) -> None:
    old = {"LIKES_INTERVAL": str(60_000 // SPEED), "REPOSTS_INTERVAL": str(90_000 // SPEED)}
    service = contest.start(**old)
    eventually(lambda: contest.stats()["served"]["/lookup"] >= 31, within=90)
    # A machine that has the time uses all 15 in every window, a busy one in some.
    eventually(lambda: contest.stats()["most_in_a_window"]["/lookup"] >= 10, within=90)
    service.terminate()
    assert service.wait(timeout=30) == 0
    stats = contest.stats()
    assert stats["refused"] == {"/mentions": 0, "/lookup": 0}
    assert stats["most_in_a_window"]["/lookup"] <= 15
    likes, reposts = (contest.store.job("contest", name) for name in ("likes", "reposts"))
    assert likes is not None
    assert reposts is not None
    assert min(likes.run_count, reposts.run_count) > 5
    assert likes.skip_count + reposts.skip_count > 0


def test_the_arithmetic_of_both_files(contest: Contest, tmp_path: Path) -> None:
    home = {**os.environ, "ROTA_HOME": str(tmp_path / "home")}
    for file, used, code in (("rota.toml", "10 of 15", 0), ("old.toml", "25 of 15", 1)):
        argv = [sys.executable, "-m", "rota", "check", str(POLLER / file)]
        result = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=home)
        assert used in result.stdout
        assert result.returncode == code


def test_a_freeze_that_is_cut_short_goes_on_where_it_was(contest: Contest, tmp_path: Path) -> None:
    first = contest.start()
    eventually(lambda: contest.stats()["served"]["/mentions"] >= 8, within=60)
    contest.store.request("contest", "freeze", time.time())
    cut = eventually(
        lambda: [run for run in contest.store.runs("contest", "freeze") if (run.done or 0) >= 50], within=60
    )
    first.kill()
    first.wait()
    done = contest.store.run(cut[0].id)
    assert done is not None
    second = contest.start()
    wish = contest.store.request("contest", "freeze", time.time())
    again = eventually(lambda: (run := contest.store.run(wish)) and run.outcome and run, within=90)
    second.terminate()
    assert second.wait(timeout=30) == 0
    if done.outcome is None:  # else the kill came too late to cut anything short
        assert again.resumed_from is not None
        assert done.done is not None
        assert again.resumed_from >= done.done  # later, when a request of it had to be tried again
    assert (again.outcome, again.error) == (Outcome.OK, "")
    assert contest.stats()["refused"] == {"/mentions": 0, "/lookup": 0}
