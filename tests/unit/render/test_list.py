"""The table of processes and the table of jobs: PM2's layout when there is room, everything that matters when there is not."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.jobs.spec import JobSpec
from rota.process.record import RunSummary, Usage
from rota.process.state import Backoff, Down, Exit, Failed, Starting, Stopping
from rota.render.host import HostMetrics, Traffic
from rota.render.list import process_table, sort_problem, sort_records
from rota.render.text import width_of

from .golden import same_as
from .records import NOW, app, job, running

SHOP = [
    app("worker", id=1, restarts=3, usage=Usage(memory=1_610_612_736, cpu=100.0, processes=9)),
    app("api", id=0, exec_mode="cluster", watching=True, spec={"namespace": "shop", "version": "1.4.0"}),
    app("loop", id=2, actual=Failed(reason="16 unstable restarts"), usage=Usage()),
    app("late", id=3, actual=Backoff(until=NOW + 1, delay=1.0), usage=Usage(), username=""),
    app("new", id=4, actual=Starting(gen=1, since=NOW), usage=Usage()),
    job("treasury-snapshot", id=5),
    job(
        "scraper",
        id=6,
        job=JobSpec(every=120.0),
        last_exit=Exit(at=NOW - 30, code=3),
        run=RunSummary(outcome="failed", started=NOW - 42, finished=NOW - 30, runs=2, next_due=NOW + 90),
    ),
    job("import", id=7, job=JobSpec(), run=None),
    job("held", id=8, run=RunSummary(outcome="timeout", started=NOW - 700, finished=NOW - 100, runs=1, paused=True)),
    job("busy", id=9, actual=running(77), usage=Usage(memory=1024, cpu=1.25), started=NOW - 12),
]
HOST = HostMetrics(
    cpu=78.1,
    memory=3.0,
    interfaces=(Traffic("eth0", 8_039_432.0, 11_534.0), Traffic("lo")),
    disk_read=5_868_879.0,
    disk_written=75_497.0,
)


@pytest.mark.parametrize("width", [300, 120, 100, 80, 60, 40])
def test_the_list_at_usual_widths(width: int) -> None:
    same_as(f"list-{width}.txt", process_table(SHOP, width, now=NOW, host=HOST, zone=UTC))


def test_the_list_in_colour() -> None:
    same_as("list-colour.txt", process_table(SHOP, 300, True, now=NOW, host=HOST, zone=UTC))


def test_no_processes_is_a_header_and_a_bottom() -> None:
    same_as("list-empty.txt", process_table([]))


def test_the_full_table_has_pm2s_widths() -> None:
    top, header, *_ = process_table([app("loop")]).split("\n")
    assert [len(part) for part in top.strip("┌┐").split("┬")] == [4, 9, 13, 9, 9, 10, 8, 6, 11, 10, 10, 10, 10]
    titles = [part.strip() for part in header.strip("│").split("│")]
    assert " ".join(titles) == "id name namespace version mode pid uptime ↺ status cpu mem user watching"


def test_the_id_column_grows_with_the_ids() -> None:
    assert process_table([app(id=123_456)]).startswith("┌────────┬")


def test_long_names_are_cut_at_38_characters() -> None:
    assert f"│ {'n' * 37}… │" in process_table([app("n" * 60)])


def test_a_stopped_app_has_no_pid_no_uptime_and_still_its_restarts() -> None:
    row = process_table([app(actual=Down(), restarts=4, usage=Usage())]).split("\n")[3]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[5:11] == ["0", "0", "4", "stopped", "0%", "0b"]


def test_only_jobs_shows_only_the_table_of_jobs() -> None:
    text = process_table([job()], now=NOW, zone=UTC)
    assert text.count("┌") == 1
    assert "│ job " in text


def test_a_failed_job_names_its_signal() -> None:
    failed = RunSummary(outcome="failed", started=NOW - 9, finished=NOW - 5, runs=1)
    text = process_table([job(run=failed, last_exit=Exit(at=NOW, signal=11))], now=NOW)
    assert "failed (SIGSEGV)" in text


def test_a_job_being_stopped_says_so() -> None:
    assert "│ stopping │" in process_table([job(actual=Stopping(gen=1, then="down", since=NOW))], now=NOW)


def test_nothing_in_a_name_reaches_the_terminal() -> None:
    text = process_table([app("a\x1b[2Jb\nc‮d")])
    assert "\x1b" not in text
    assert "\\x1b[2Jb\\nc\\u202ed" in text
    assert len({width_of(line) for line in text.split("\n")}) == 1


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("", [1, 2, 0, 3]),
        ("id", [0, 1, 2, 3]),
        ("id:desc", [3, 2, 1, 0]),
        ("cpu:desc", [2, 0, 3, 1]),
        ("memory", [2, 0, 1, 3]),
        ("status:asc", [0, 1, 3, 2]),
        ("nonsense:desc", [3, 0, 1, 2]),
        ("uptime", [2, 3, 1, 0]),
        ("pid", [2, 0, 1, 3]),
    ],
)
def test_sorting(sort: str, ids: list[int]) -> None:
    records = [
        app("b", id=0, usage=Usage(memory=2, cpu=2.0), started=NOW - 99),
        app("a", id=1, usage=Usage(memory=3, cpu=0.0), started=NOW - 50),
        app("a", id=2, usage=Usage(memory=1, cpu=9.0), actual=Down()),
        app("c", id=3, usage=Usage(memory=4, cpu=1.0), started=NOW - 10),
    ]
    assert [record.instance.id for record in sort_records(records, sort)] == ids


@pytest.mark.parametrize(
    ("sort", "told"),
    [
        ("", ""),
        ("memory", ""),
        ("memory:desc", ""),
        ("mem:desc", '--sort: sorted by name, as there is no field mem — did you mean "memory"?'),
        (
            "zzz",
            "--sort: sorted by name, as there is no field zzz (known: name namespace pid id cpu memory uptime status)",
        ),
        ("cpu:down", "--sort: down is neither asc nor desc; sorted upwards"),
    ],
)
def test_a_sort_that_means_nothing_is_told(sort: str, told: str) -> None:
    assert sort_problem(sort) == told


names = st.text(min_size=1, max_size=50)
records = st.lists(st.tuples(names, st.integers(0, 10**6), st.booleans()), max_size=8, unique_by=lambda row: row[1])


@given(rows=records, width=st.integers(60, 300), colour=st.booleans())
def test_every_table_is_a_rectangle_that_fits(rows: list[tuple[str, int, bool]], width: int, colour: bool) -> None:
    text = process_table([(job if a_job else app)(name, id=id) for name, id, a_job in rows], width, colour, now=NOW)
    lines = _without_colour(text).split("\n")
    assert all(width_of(line) <= width for line in lines)
    start = 0
    for n, line in enumerate(lines):
        if line.startswith("└"):
            assert len({width_of(row) for row in lines[start : n + 1]}) == 1
            start = n + 1
    assert start == len(lines)


def _without_colour(text: str) -> str:
    first, *rest = text.split("\x1b[")
    return first + "".join(part.partition("m")[2] for part in rest)
