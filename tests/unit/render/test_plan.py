"""The coming hours as a chart and as a picture; the reports of check and sim."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from rota.jobs.audit import audit_jobs
from rota.jobs.simulate import Simulated, simulate
from rota.jobs.spec import JobSpec
from rota.jobs.timeline import Timeline, timeline
from rota.render.audit import audit_report
from rota.render.plan_chart import plan_chart
from rota.render.plan_svg import plan_svg
from rota.render.sim import sim_report
from rota.render.text import width_of
from rota.timing.meter import BudgetRule

PARIS = ZoneInfo("Europe/Paris")
SINCE = datetime(2026, 6, 1, 15, 20, tzinfo=UTC).timestamp()
JOBS = [
    Simulated("price-snapshot", JobSpec(cron="0 2 * * *", tz="Europe/Paris", budget={"api": 1.0}), 1500),
    Simulated("stock-scraper", JobSpec(cron="*/30 * * * *", tz="Europe/Paris", budget={"api": 1.0}), 200),
    Simulated("review-scraper", JobSpec(cron="15 * * * *", tz="Europe/Paris"), 40),
    Simulated("long-import", JobSpec(cron="0 */3 * * *", tz="Europe/Paris"), 4 * 3600),
    Simulated("<report> & co", JobSpec(after=("price-snapshot",))),
    Simulated("日本語", JobSpec(cron="5 * * * *")),
]
RULES = {"api": BudgetRule("api", 15, 900, 15)}


def plan(hours: float = 24, since: float = SINCE) -> Timeline:
    return timeline(JOBS, since, since + hours * 3600, budgets=RULES, zone="Europe/Paris")


@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize("hours", [1, 24, 72, 24 * 14])
def test_no_line_of_the_chart_is_wider_than_the_terminal(width: int, hours: float) -> None:
    assert max(map(width_of, plan_chart(plan(hours), width, False, PARIS).splitlines())) <= width


def test_the_chart_shows_each_job_and_its_collisions() -> None:
    text = plan_chart(plan(), 140, False, PARIS)
    lines = text.splitlines()
    assert "00:00" not in lines[0]
    assert "Tue" in lines[0]
    (row,) = [line for line in lines if line.startswith("price-snapshot")]
    assert row.count("█") in (1, 2, 3)
    assert row.endswith("1× ~25m")
    assert "Tue 02:00: price-snapshot, stock-scraper (price-snapshot and stock-scraper share the budget api)" in text
    assert "long-import: 4 times, it takes about 4h" in text
    assert "not planned by time: <report> & co" in text
    marks = next(line for line in lines if set(line.strip()) == {"▲", " "})
    begins = next(n for n, char in enumerate(row) if char in "▏▌█")
    assert marks[begins] == "▲"


def test_colour_marks_and_changes_no_text() -> None:
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", plan_chart(plan(), 140, True, PARIS)) == plan_chart(plan(), 140, False, PARIS)


def test_labels_stay_on_round_hours_when_the_clocks_change() -> None:
    spring = datetime(2026, 3, 28, 18, tzinfo=UTC).timestamp()
    axis = plan_chart(plan(24, spring), 160, False, PARIS).splitlines()[0].split()
    assert all(label.endswith(":00") or label.isalpha() for label in axis)


def test_nothing_planned_is_said() -> None:
    empty = timeline([], SINCE, SINCE + 3600)
    assert plan_chart(empty) == "nothing is planned"
    ET.fromstring(plan_svg(empty, PARIS))


@pytest.mark.parametrize("hours", [1, 24, 24 * 14])
def test_the_picture_is_well_formed_and_everything_is_inside_it(hours: float) -> None:
    root = ET.fromstring(plan_svg(plan(hours), PARIS, "Europe/Paris"))
    wide, high = float(root.get("width", 0)), float(root.get("height", 0))
    bars = [
        each
        for each in root.iter("{http://www.w3.org/2000/svg}rect")
        if each.get("class") in ("run", "clash", "budget", "guess")
    ]
    assert len(bars) > 4
    for each in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(each.get("x", 0)) >= 0
        assert float(each.get("x", 0)) + float(each.get("width", 0)) <= wide
        assert float(each.get("y", 0)) + float(each.get("height", 0)) <= high
    texts = "".join(root.itertext())
    assert "<report> & co" in texts
    assert "price-snapshot" in texts


def test_the_picture_is_the_same_for_the_same_plan() -> None:
    assert plan_svg(plan(), PARIS) == plan_svg(plan(), PARIS)


def test_the_report_of_a_check_shows_the_arithmetic() -> None:
    greedy = [Simulated(f"j{n}", JobSpec(cron="0 4 * * *", budget={"api": 10.0})) for n in range(2)]
    text = audit_report("rota.toml", audit_jobs(greedy, RULES, SINCE), 100)
    assert "20 of 15 per 15m" in text
    assert "10 every 1d" in text
    assert "error" in text
    assert max(map(width_of, text.splitlines())) <= 100


def test_the_report_of_a_simulation_counts_and_lists() -> None:
    replay = simulate(JOBS, SINCE, SINCE + 7 * 86400, budgets=RULES, keep=False)
    text = sim_report(replay, JOBS, 3, 120, zone=PARIS)
    assert "no start is doubled, none is missed" in text
    assert "due while the run before was still going: 28 times" in text
    assert "and 25 more" in text
