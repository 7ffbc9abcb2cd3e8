"""`rota why`: sentences out of events."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rota.render.story import EventRow, story

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC).timestamp()
KINDS = ["start", "online", "exit", "restart", "stop", "unhealthy", "restart overlimit", "run ok", "run skipped", "new"]


def tell(*events: EventRow, limit: int = 50) -> list[str]:
    return [line.partition("  ")[2] for line in story(events, NOW, UTC, limit)]


def test_an_end_and_what_followed_are_one_line() -> None:
    assert tell(
        (NOW - 9, 0, "start", "started by the user"),
        (NOW - 9, 0, "online", ""),
        (NOW - 5, 0, "exit", "exit code 3"),
        (NOW - 5, 0, "restart", "exit code 3"),
        (NOW - 5, 0, "online", "probe"),
        (NOW - 3, 0, "exit", "signal SIGINT"),
        (NOW - 3, 0, "stop", "stopped by the user"),
    ) == [
        "started by the user",
        "its process ended with exit code 3; started again",
        "ready: its readiness probe passed",
        "stopped by the user (its process ended with signal SIGINT)",
    ]


def test_a_crash_loop_is_one_line() -> None:
    loop: list[EventRow] = []
    for number in range(15):
        loop += [(NOW + number, 0, "exit", "exit code 1"), (NOW + number, 0, "restart", "exit code 1")]
    told = tell((NOW, 0, "start", "rota came back"), *loop, (NOW + 20, 0, "restart overlimit", "too many"))
    assert told == [
        "started: rota came back",
        "its process ended with exit code 1; started again (15 times, until 12:00:14)",
        "given up: too many",
    ]


def test_a_run_is_one_line_in_the_zone_of_the_rest() -> None:
    assert tell(
        (NOW, 4, "start", "run 7, due 2026-03-05 12:00:00 UTC"),
        (NOW, 4, "online", ""),
        (NOW + 2, 4, "exit", "exit code 2"),
        (NOW + 2, None, "run failed", "run 7: exit code 2"),
        (NOW + 60, None, "run skipped", "run 7 is still going"),
        (NOW + 60, None, "run missed", "3 due: too late"),
        (NOW + 61, None, "job paused", ""),
        (NOW + 90, 4, "start", "run 8"),
    ) == [
        "run 7, due 12:00:00: failed after 2s, exit code 2",
        "due, but not started: run 7 is still going",
        "due times passed without a run: 3 due: too late",
        "paused: due times pass without a run",
        "run 8: started",
    ]


def test_what_was_unhealthy_and_restarted_for_it_is_one_line() -> None:
    assert tell(
        (NOW, 0, "unhealthy", "too much memory"),
        (NOW, 0, "exit", "signal SIGINT"),
        (NOW, 0, "start", "too much memory"),
        (NOW + 9, 0, "held back", "it needs db, which is not ready"),
    ) == [
        "restarted: too much memory (its process ended with signal SIGINT)",
        "not started: it needs db, which is not ready",
    ]


def test_days_are_named_where_they_are_not_today() -> None:
    day = 86400
    lines = story([(NOW - 400 * day, 0, "stop", "x"), (NOW - day, 0, "stop", "y"), (NOW, 0, "stop", "z")], NOW, UTC)
    assert lines == ["2025-01-29 12:00:00  x", "     4 Mar 12:00:00  y", "           12:00:00  z"]


def test_instances_are_told_apart_where_there_are_several() -> None:
    assert tell((NOW, 0, "stop", "x"), (NOW, 1, "stop", "x"), (NOW, None, "autoscale", "2 -> 1")) == [
        "[0] x",
        "[1] x",
        "scaled by its load: 2 -> 1",
    ]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 4e9),
            st.sampled_from([None, 0, 1]),
            st.sampled_from(KINDS),
            st.text(max_size=20) | st.just("run 3"),
        )
    ),
    st.integers(1, 9),
)
def test_any_events_make_lines(events: list[EventRow], limit: int) -> None:
    lines = story(events, NOW, UTC, limit)
    assert len(lines) <= limit
    assert all(line.splitlines() == [line] for line in lines)
