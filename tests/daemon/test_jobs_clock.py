"""Clocks that are set, zones that change, machines that sleep: crontab and run book with an injected clock and the real store.

The supervisor is played by a desk that starts what it is told and ends it when the test says so: processes are not the subject.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from rota.daemon.entry import Entry
from rota.daemon.jobs.crontab import Crontab
from rota.daemon.jobs.runbook import RunBook
from rota.errors import StoreUnavailable
from rota.jobs.run import Outcome
from rota.jobs.spec import JobSpec
from rota.process.spec import AppSpec
from rota.process.state import Down, Exit, Instance, Process, Ready
from rota.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rota.stores.records import RunRecord

NOON = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@dataclass
class Hands:
    """A wall clock that may be set, a monotonic one that may not, and the timers of a loop."""

    wall: float = NOON
    steady: float = 1000.0
    timers: list[tuple[float, Callable[..., None], tuple[Any, ...], Any]] = field(default_factory=list)

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Any:
        handle = SimpleNamespace(cancelled=False)
        handle.cancel = lambda: setattr(handle, "cancelled", True)
        self.timers.append((self.steady + delay, call, args, handle))
        return handle

    def call_soon(self, call: Callable[..., None], *args: Any) -> Any:
        return self.call_later(0.0, call, *args)

    def create_task(self, work: Any) -> None:
        work.close()

    def pass_time(self, seconds: float) -> None:
        """Both clocks go on, and what is due by the monotonic one is called."""
        end = self.steady + seconds
        while True:
            live = [timer for timer in self.timers if not timer[3].cancelled and timer[0] <= end]
            if not live:
                break
            first = min(live, key=lambda timer: timer[0])
            self.timers.remove(first)
            self._advance(first[0])
            first[1](*first[2])
        self._advance(end)

    def _advance(self, to: float) -> None:
        step = max(to - self.steady, 0.0)
        self.steady += step
        self.wall += step


class Desk:
    """A supervisor whose processes begin at once and end when they are told."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.entries: dict[int, Entry] = {}
        self.by_name: dict[str, dict[int, Entry]] = {}
        self.started: list[tuple[str, float]] = []
        self.became_idle: Callable[[Entry], None] = lambda entry: None
        self.quick = True

    def named(self, name: str) -> list[Entry]:
        return list(self.by_name.get(name, {}).values())

    def create(self, specs: list[AppSpec]) -> list[Entry]:
        made = []
        for spec in specs:
            id = len(self.entries)
            entry = Entry(Instance(id, spec.name, len(self.named(spec.name)), "", 0.0), spec)
            self.entries[id] = self.by_name.setdefault(spec.name, {})[id] = entry
            made.append(entry)
        return made

    def want(self, ids: list[int], want: str, why: str = "") -> None:
        for id in ids:
            entry = self.entries[id]
            if want == "up":
                self.started.append((entry.name, self.hands.wall))
                running = Ready(1, Process(1, 0, "", 0, 0.0), self.hands.wall)
                entry.instance = replace(entry.instance, actual=running, started=self.hands.wall, desired="up")
                if self.quick:
                    self.end(id)
            elif want == "down" and isinstance(entry.instance.actual, Ready):
                self.end(id)
            elif want == "forget":
                self.by_name[entry.name].pop(id)
                del self.entries[id]

    def end(self, id: int, code: int = 0) -> None:
        entry = self.entries[id]
        exit = Exit(at=self.hands.wall, code=code)
        entry.instance = replace(entry.instance, actual=Down(), last_exit=exit, desired="down")
        self.became_idle(entry)


class House:
    """One daemon's crontab and run book over a store that outlives it."""

    def __init__(self, path: Path, hands: Hands, zone: str = "UTC") -> None:
        self.path, self.hands, self.zone = path, hands, zone
        self.specs: dict[str, AppSpec] = {}
        self.settings: dict[str, str] = {}
        self.begin()

    def begin(self) -> None:
        """A new daemon in the same home."""
        self.hands.timers.clear()
        self.desk = Desk(self.hands)
        world: Any = SimpleNamespace(
            home=SimpleNamespace(logs=str(self.path)), home_id="h", clock=self.hands, loop=self.hands, cpus=1,
            supervisor=self.desk, bus=SimpleNamespace(publish=lambda event: None),
            ledger=SimpleNamespace(
                event=lambda *args: None, setting=lambda key: self.settings.get(key, ""),
                set_setting=self.settings.__setitem__,
            ),
        )  # fmt: skip
        self.desk.create(list(self.specs.values()))
        self.store = SqliteStore(self.path / "rota.db")
        self.book = world.runbook = RunBook(world, self.store)
        self.crontab = Crontab(world, self.book, lambda: self.zone)
        world.next_due = self.crontab.next_due
        self.desk.became_idle = self.book.became_idle
        unfinished = self.book.recover()
        self.crontab.load()
        self.book.resume(unfinished)
        self.crontab.start()

    def add(self, name: str, **policy: Any) -> None:
        self.specs[name] = AppSpec(name=name, exec_path="/bin/true", job=JobSpec(**policy))
        self.desk.create([self.specs[name]])
        self.crontab.refresh(name)

    def rows(self, name: str) -> list[RunRecord]:
        return sorted(self.store.runs("", name, limit=100_000), key=lambda row: row.due or 0)

    def dues(self, name: str) -> list[str]:
        return [f"{datetime.fromtimestamp(row.due or 0, UTC):%H:%M:%S} {row.outcome}" for row in self.rows(name)]

    def end(self) -> None:
        """As SIGKILL would: nothing is said, nothing is written."""
        self.store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, Hands())
    yield made
    made.end()


def test_every_due_time_is_met_however_long_the_timer_may_sleep(house: House) -> None:
    house.add("quarter", cron="*/15 * * * *")
    house.hands.pass_time(3600)
    assert house.dues("quarter") == ["12:15:00 ok", "12:30:00 ok", "12:45:00 ok", "13:00:00 ok"]
    assert all(0 <= (row.started or 0) - (row.due or 0) < 0.01 for row in house.rows("quarter"))


def test_a_clock_put_forward_over_a_fixed_time_catches_up_within_half_a_minute(house: House) -> None:
    house.add("daily", cron="30 12 * * *")
    house.hands.pass_time(60)
    house.hands.wall += 3600
    house.hands.pass_time(31)
    assert house.dues("daily") == ["12:30:00 ok"]
    assert house.rows("daily")[0].trigger == "catch-up"
    house.hands.pass_time(86400)
    assert house.dues("daily") == ["12:30:00 ok"] * 2


def test_a_clock_put_forward_leaves_no_due_time_without_a_row(house: House) -> None:
    house.add("often", cron="* * * * *")
    house.hands.pass_time(90)
    house.hands.wall += 600
    house.hands.pass_time(120)
    dues = [row.due for row in house.rows("often")]
    assert dues == [NOON + 60 * n for n in range(1, len(dues) + 1)]
    assert len(dues) >= 12


def test_a_clock_put_back_does_not_repeat_a_fixed_time_nor_silence_an_interval(house: House) -> None:
    house.add("daily", cron="5 12 * * *")
    house.add("often", cron="* * * * *")
    house.hands.pass_time(600)
    starts = len(house.desk.started)
    house.hands.wall -= 600
    house.hands.pass_time(600)
    names = [name for name, _ in house.desk.started[starts:]]
    assert "daily" not in names
    assert names.count("often") >= 9
    dues = [row.due for row in house.rows("often")]
    assert len(dues) == len(set(dues))
    house.hands.pass_time(86400)
    assert [name for name, _ in house.desk.started].count("daily") == 2


def test_a_step_back_is_remembered_by_the_next_daemon(house: House) -> None:
    house.add("often", cron="* * * * *")
    house.hands.pass_time(600)
    house.hands.wall -= 600
    house.hands.pass_time(240)
    known = house.store.job("", "often")
    assert known is not None
    assert (known.horizon, known.relived) == (NOON + 600, 1)
    house.end()
    house.begin()
    before = len(house.rows("often"))
    house.hands.pass_time(300)
    assert len(house.rows("often")) == before + 5
    assert {row.outcome for row in house.rows("often")} == {Outcome.OK}


def test_a_machine_that_slept_makes_up_for_the_last_time_once(house: House) -> None:
    house.add("hourly", cron="0 * * * *", misfire_grace=1800)
    house.hands.pass_time(60)
    house.hands.wall += 5 * 3600  # the monotonic clock stood still
    house.hands.pass_time(60)
    outcomes = house.dues("hourly")
    assert outcomes == [f"{hour}:00:00 missed" for hour in (13, 14, 15, 16)] + ["17:00:00 ok"]


def test_downtime_is_accounted_for_even_for_a_job_that_never_ran(house: House) -> None:
    house.add("daily", cron="0 13 * * *")
    house.end()
    house.hands.wall += 2 * 3600
    house.begin()
    house.hands.pass_time(1)
    assert house.dues("daily") == ["13:00:00 ok"]
    assert house.rows("daily")[0].trigger == "catch-up"


def test_missed_none_makes_up_for_nothing(house: House) -> None:
    house.add("daily", cron="0 13 * * *", missed="none")
    house.end()
    house.hands.wall += 2 * 3600
    house.begin()
    house.hands.pass_time(1)
    assert house.dues("daily") == ["13:00:00 missed"]
    assert house.desk.started == []


def test_a_long_absence_has_rows_for_the_last_and_one_for_the_rest(house: House) -> None:
    house.add("often", cron="* * * * *")
    house.end()
    house.hands.wall += 86400 + 30
    house.begin()
    house.hands.pass_time(1)
    rows = house.rows("often")
    assert len(rows) == 12
    assert "stands for" in rows[0].note
    known = house.store.job("", "often")
    assert known is not None
    assert known.miss_count + known.run_count == 1440


def test_the_hosts_zone_may_change_under_a_running_daemon(house: House) -> None:
    house.add("daily", cron="0 9 * * *")
    house.add("own", cron="0 9 * * *", tz="UTC")
    assert house.crontab.next_due("daily") == NOON + 21 * 3600
    house.zone = "America/New_York"
    house.hands.pass_time(61)
    due = house.crontab.next_due("daily")
    assert due is not None
    assert datetime.fromtimestamp(due, ZoneInfo("America/New_York")).hour == 9
    assert house.crontab.next_due("own") == NOON + 21 * 3600
    house.hands.pass_time(86400)
    assert house.dues("daily") == ["13:00:00 ok"]


def test_a_schedule_changed_while_no_daemon_ran_leaves_a_row_for_what_was_due(house: House) -> None:
    house.add("daily", cron="0 13 * * *")
    house.end()
    house.specs["daily"] = replace(house.specs["daily"], job=JobSpec(cron="0 20 * * *"))
    house.hands.wall += 2 * 3600
    house.begin()
    house.hands.pass_time(6 * 3600)
    assert house.dues("daily") == ["13:00:00 missed", "20:00:00 ok"]


def test_a_change_of_clocks_in_spring_and_autumn_runs_a_night_job_once_a_day(house: House) -> None:
    house.hands.wall = datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp()
    house.end()
    house.begin()
    house.add("night", cron="30 2 * * *", tz="Europe/Berlin")
    house.hands.pass_time(4 * 86400)
    assert [due[:8] for due in house.dues("night")] == ["01:30:00", "01:00:00", "00:30:00", "00:30:00"]


def test_a_paused_job_is_summed_up_when_it_goes_on(house: House) -> None:
    house.add("often", cron="* * * * *")
    house.hands.pass_time(120)
    house.book.pause("often", True)
    house.hands.pass_time(600)
    house.book.pause("often", False)
    house.hands.pass_time(60)
    assert house.dues("often") == ["12:01:00 ok", "12:02:00 ok", "12:12:00 skipped", "12:13:00 ok"]
    known = house.store.job("", "often")
    assert known is not None
    assert known.skip_count == 10


def test_a_timeout_counts_real_time_not_the_wall_clock(house: House) -> None:
    house.desk.quick = False
    house.add("slow", cron="0 13 * * *", timeout=60)
    house.hands.pass_time(3601)
    house.hands.wall += 7200
    house.hands.pass_time(10)
    assert house.rows("slow")[0].outcome is None
    house.hands.pass_time(50)
    assert house.rows("slow")[0].outcome is Outcome.TIMEOUT


def test_lateness_can_be_seen_by_whoever_looks(house: House) -> None:
    house.add("hourly", cron="0 * * * *")
    assert house.store.job("", "hourly").expected_by == NOON + 3600 + 60  # type: ignore[union-attr]
    house.desk.quick = False
    house.hands.pass_time(3600)
    assert house.store.job("", "hourly").expected_by == pytest.approx(NOON + 3600 + 60, abs=1)  # type: ignore[union-attr]
    house.desk.end(0, code=1)
    assert house.store.job("", "hourly").expected_by == pytest.approx(NOON + 3600 + 60, abs=1)  # type: ignore[union-attr]
    house.hands.pass_time(3600)
    house.desk.end(0)
    assert house.store.job("", "hourly").expected_by == pytest.approx(NOON + 3 * 3600 + 60, abs=2)  # type: ignore[union-attr]
    house.book.pause("hourly", True)
    assert house.store.job("", "hourly").expected_by is None  # type: ignore[union-attr]


def test_a_store_that_refuses_holds_jobs_up_and_loses_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("often", cron="* * * * *")
    house.hands.pass_time(60)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("disk full")

    for method in ("claim", "note_unrun", "set_next", "finish", "advance"):
        monkeypatch.setattr(house.store, method, refuse)
    house.hands.pass_time(90)
    monkeypatch.undo()
    house.hands.pass_time(90)
    dues = [row.due for row in house.rows("often")]
    assert dues == [NOON + 60 * n for n in range(1, 6)][: len(dues)]
    assert len(dues) >= 4


def test_an_outcome_that_cannot_be_written_is_written_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.desk.quick = False
    house.add("j", cron="0 13 * * *")
    house.hands.pass_time(3600)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(house.store, "finish", refuse)
    house.desk.end(0, code=3)
    monkeypatch.undo()
    assert house.rows("j")[0].outcome is None
    house.hands.pass_time(6)
    assert (house.rows("j")[0].outcome, house.rows("j")[0].exit_code) == (Outcome.FAILED, 3)


def test_a_thousand_jobs_due_at_once_are_met_in_turns(house: House) -> None:
    for number in range(300):
        house.add(f"j{number}", cron="0 13 * * *")
    house.hands.pass_time(3600)
    assert len(house.desk.started) == 300
