"""What decorators take, and what they refuse."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rota import Adaptive, Breaker, Budget, Run, Scheduler
from rota.errors import SpecError

if TYPE_CHECKING:
    from rota.schedule.job import Job


@pytest.fixture
def rota() -> Scheduler:
    return Scheduler("memory://", name="shop", tz="Europe/Paris")


def only(rota: Scheduler) -> Job:
    (job,) = rota.registered.values()
    return job


def work() -> None:
    """Does nothing."""


def test_decorators_return_the_function(rota: Scheduler) -> None:
    @rota.every("2m", timeout="20s")
    def first() -> int:
        return 1

    @rota.cron("0 2 * * *")
    async def second() -> int:
        return 2

    assert first() == 1
    assert rota.every("1m", work, name="third") is work
    assert rota.job(work) is work
    assert list(rota.registered) == ["first", "second", "third", "work"]
    assert [job.kind for job in rota.registered.values()] == ["thread", "async", "thread", "thread"]


def test_options_are_resolved_once(rota: Scheduler) -> None:
    budget, other = Budget("a", limit=5, per="1m"), Budget("b", limit=5, per="1m")
    rota.every(
        timedelta(minutes=2), work, name="poll", timeout=20, kill_after="3s", overlap="queue", concurrency=2, jitter="5s",
        retries=2, retry_backoff="1m", budget={budget: 2, other: 1}, missed="one", misfire_grace="1h", stale_after="10m",
        breaker=3, adaptive=Adaptive(longest=4), run_on_start=True, keep_runs=7, args=[1], kwargs={"x": 2},
    )  # fmt: skip
    job = only(rota)
    spec = job.spec
    assert (spec.every, spec.timeout, spec.overlap, spec.concurrency, spec.spread) == (120, 20, "queue", 2, 5)
    assert (spec.retries, spec.retry_backoff, spec.missed, spec.misfire_grace, spec.keep_runs) == (
        2,
        60,
        "one",
        3600,
        7,
    )
    assert (job.kill_after, job.stale_after, job.breaker, job.adaptive) == (3, 600, Breaker(3), Adaptive(longest=4))
    assert job.budgets == ((budget, 2.0), (other, 1.0))
    assert (job.args, job.kwargs, job.text) == ((1,), {"x": 2}, "every 2m")


def test_cron_jobs_take_the_schedulers_zone_and_say_it(rota: Scheduler) -> None:
    rota.cron("0 2 * * *", work, name="paris")
    rota.cron("0 2 * * *", work, name="utc", tz="UTC")
    assert [job.text for job in rota.registered.values()] == ["0 2 * * * Europe/Paris", "0 2 * * * UTC"]


def takes_run(run: Run) -> None: ...
def takes_run_last(a: int, run: Run) -> None: ...
def takes_run_keyword(*, run: Run) -> None: ...
def takes_unnamed(job: Any) -> None: ...
def takes_nothing() -> None: ...
def takes_default(a: int = 1) -> None: ...
def takes_anything(*args: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (takes_run, [], "first"),
        (takes_run_last, [1], "keyword"),
        (takes_run_keyword, [], "keyword"),
        (takes_unnamed, [], "first"),
        (takes_unnamed, [1], ""),
        (takes_nothing, [], ""),
        (takes_default, [], ""),
        (takes_anything, [], ""),
        (functools.partial(takes_run_last, 1), [], "first"),
        (print, [], ""),
    ],
)
def test_the_run_is_passed_to_those_who_want_it(rota: Scheduler, function: Any, args: list[int], expected: str) -> None:
    rota.job(function, name="job", args=args)
    assert only(rota).passes_run == expected


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda r: r.every("2 parsecs", work), "is not a duration", "90s"),
        (lambda r: r.every("0s", work), "interval above zero", '@rota.every("2m")'),
        (lambda r: r.every(work), "interval above zero", '@rota.every("2m")'),
        (lambda r: r.cron(work), "needs an expression", "@rota.cron"),
        (lambda r: r.cron(" ", work), "needs an expression", "@rota.cron"),
        (lambda r: r.every("1s", lambda a, b: 0, name="w"), "w is given no a, b", "args="),
        (lambda r: r.every("1s", lambda run, *, key: 0, name="w"), "w is given no key", "kwargs="),
        (lambda r: r.every("1s", lambda a, run: 0, name="w"), "w is given no a", "args="),
        (lambda r: r.every("1s", work, budget="api"), "is no budget", "Budget("),
        (lambda r: Budget("", limit=1, per="1s"), "needs a name", "limit=15"),
        (lambda r: r.every("1s", work, overlap="never"), "overlap='never'", "'skip' or 'queue'"),
        (lambda r: r.every("2m", work, overlaps="skip"), "no option 'overlaps'", 'did you mean "overlap"?'),
        (lambda r: r.every("2m", work, timeout="soon"), "timeout", "90s"),
        (lambda r: r.every("2m", work, isolate="thread"), "isolate='thread'", "'process'"),
        (lambda r: r.every("2m", lambda: None), "has no name", "name="),
        (lambda r: r.cron("99 * * * *", work), "", ""),
        (lambda r: r.cron("0 2 * * *", work, tz="Mars/Base"), "Mars/Base", ""),
        (lambda r: r.cron("0 2 * * *", work, adaptive=True), "adaptive needs an interval", "every()"),
        (lambda r: r.every("2m", work, breaker=Breaker(0)), "1 failure or more", "breaker=5"),
        (lambda r: r.every("2m", work, after=["work"]), "after itself", ""),
        (lambda r: [r.job(work), r.job(work)], "two jobs called 'work'", "name="),
        (lambda r: Scheduler("memory://", lease="10ms"), "lease", "30s"),
    ],
)
def test_mistakes_are_named_with_what_to_do(rota: Scheduler, call: Any, message: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        call(rota)
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("value", "expected"),
    [("30s", 30.0), ("90000", 90.0), ("1m30s", 90.0), ("", 120.0), ("often", 120.0), ("0", 120.0)],
)
def test_the_environment_overrides_an_interval(
    rota: Scheduler, monkeypatch: pytest.MonkeyPatch, value: str, expected: float
) -> None:
    monkeypatch.setenv("POLL_INTERVAL", value)
    rota.every("2m", work, env="POLL_INTERVAL")
    job = only(rota)
    assert job.spec.every == expected
    wrong = value in ("often", "0")
    assert job.trouble == ("work: the value of POLL_INTERVAL is no schedule; the built-in one holds" if wrong else "")


def test_the_environment_overrides_a_cron_expression(rota: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORT_CRON", "0 5 * * *")
    rota.cron("0 2 * * *", work, env="REPORT_CRON")
    assert only(rota).spec.cron == "0 5 * * *"
    monkeypatch.setenv("REPORT_CRON", "secret")
    rota.cron("0 2 * * *", work, env="REPORT_CRON", name="again")
    assert rota.registered["again"].spec.cron == "0 2 * * *"
    assert "secret" not in rota.registered["again"].trouble


def test_under_rota_the_app_gives_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROTA_APP", "ROTA_DB", "name"):
        monkeypatch.delenv(name, raising=False)
    assert Scheduler("memory://").name == "app"
    monkeypatch.setenv("name", "shell variable")
    assert Scheduler("memory://").name == "app"
    monkeypatch.setenv("ROTA_DB", "/somewhere/rota.db")
    monkeypatch.setenv("name", "api")
    assert Scheduler("memory://").name == "api"
    monkeypatch.setenv("ROTA_APP", "worker")
    assert Scheduler("memory://").name == "worker"


def test_the_store_is_the_daemons_under_rota(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from rota.stores.opening import default_url

    for name in ("ROTA_STORE", "ROTA_DB"):
        monkeypatch.delenv(name, raising=False)
    assert default_url() == "sqlite:///rota.db"
    monkeypatch.setenv("ROTA_DB", f"{tmp_path}/home.db")
    assert default_url() == f"sqlite:///{tmp_path}/home.db"
    assert Scheduler().store.url == f"sqlite:///{tmp_path}/home.db"
    assert not list(tmp_path.iterdir()), "nothing is opened before it is used"
    monkeypatch.setenv("ROTA_STORE", "memory://tests")
    assert Scheduler().store.url == "memory://"


def test_an_unknown_store_is_named_without_its_password() -> None:
    from rota.errors import StoreUnavailable
    from rota.stores.opening import open_store

    with pytest.raises(StoreUnavailable) as caught:
        open_store("mysql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)
    assert "sqlite:///" in caught.value.hint
