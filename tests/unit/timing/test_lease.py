"""At most one holder, whatever the order; silence means trouble only when it is long enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.timing.lease import (
    Lease,
    Pulse,
    RunPhase,
    acquire,
    default_late_grace,
    expected_by,
    extend,
    pulse,
    release,
    run_phase,
    scheduler_stalled,
)


def test_the_first_to_ask_holds_it_until_it_ends() -> None:
    lease = acquire(None, "a", 100.0)
    assert lease == Lease("a", 1, 130.0)
    assert acquire(lease, "b", 129.9) is None
    assert acquire(lease, "b", 130.0) == Lease("b", 2, 160.0)
    assert lease.renew_at() == 115.0


def test_asking_again_extends_and_keeps_the_token() -> None:
    assert acquire(Lease("a", 4, 130.0), "a", 110.0) == Lease("a", 4, 140.0)
    assert acquire(Lease("a", 4, 130.0), "a", 131.0) == Lease("a", 5, 161.0)


def test_a_lapsed_lease_is_not_extended() -> None:
    assert extend(Lease("a", 1, 130.0), "a", 1, 115.0) == Lease("a", 1, 145.0)
    assert extend(Lease("a", 1, 130.0), "a", 1, 130.0) is None
    assert extend(Lease("a", 2, 130.0), "a", 1, 100.0) is None
    assert extend(Lease("b", 1, 130.0), "a", 1, 100.0) is None
    assert extend(None, "a", 1, 100.0) is None


def test_a_lease_is_never_shortened() -> None:
    assert extend(Lease("a", 1, 500.0), "a", 1, 100.0) == Lease("a", 1, 500.0)


def test_a_release_frees_it_and_keeps_count() -> None:
    lease = release(Lease("a", 3, 130.0), "a", 3)

    assert not lease.held(100.0)
    assert acquire(lease, "b", 100.0) == Lease("b", 4, 130.0)
    assert release(Lease("b", 4, 130.0), "a", 3) == Lease("b", 4, 130.0)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["acquire", "extend", "release"]), st.floats(0, 20)),
        max_size=60,
    )
)
def test_two_never_hold_it_and_tokens_only_grow(steps: list[tuple[str, str, float]]) -> None:
    lease: Lease | None = None
    now, mine, seen = 0.0, {name: 0 for name in "abc"}, 0
    for name, what, passed in steps:
        now += passed
        before = lease
        match what:
            case "acquire":
                got = acquire(lease, name, now)
                if got is not None:
                    lease, mine[name] = got, got.token
            case "extend":
                lease = extend(lease, name, mine[name], now) or lease
            case _ if lease is not None:
                lease = release(lease, name, mine[name])
        holding = [other for other in "abc" if lease is not None and lease.held_by(other, mine[other], now)]
        assert len(holding) <= 1
        if lease is not None:
            assert lease.token >= seen
            if before is not None and before.held(now) and lease.held(now):
                assert lease.holder == before.holder  # nobody loses what is still theirs
            if before is not None and lease.holder not in ("", before.holder):
                assert lease.token > before.token
            seen = lease.token


@pytest.mark.parametrize(
    ("last", "due", "now", "said"),
    [
        (None, None, 0.0, Pulse.NEVER_RUN),
        (None, 100.0, 159.0, Pulse.NEVER_RUN),
        (None, 100.0, 161.0, Pulse.LATE),
        (40.0, 100.0, 150.0, Pulse.HEALTHY),
        (90.0, 100.0, 161.0, Pulse.LATE),
        (40.0, 100.0, 160.0, Pulse.HEALTHY),
        (39.0, 100.0, 160.0, Pulse.STALLED),
        (39.0, None, 160.0, Pulse.STALLED),
    ],
)
def test_pulse(last: float | None, due: float | None, now: float, said: Pulse) -> None:
    assert pulse(last, 60.0, due, 60.0, now) is said


def test_a_scheduler_is_stalled_after_two_sleeps_and_ten_seconds_at_least() -> None:
    assert not scheduler_stalled(0.0, 60.0)
    assert scheduler_stalled(0.0, 60.1)
    assert not scheduler_stalled(0.0, 10.0, longest_sleep=1.0)
    assert scheduler_stalled(0.0, 10.1, longest_sleep=1.0)


def test_expected_by() -> None:
    assert expected_by(100.0, 50.0, 60.0) == 110.0
    assert expected_by(100.0, None, 60.0) == 160.0
    assert expected_by(None, None, 60.0) is None
    assert (default_late_grace(5.0), default_late_grace(300.0)) == (60.0, 600.0)


def test_a_run_is_overdue_then_stuck() -> None:
    assert run_phase(0.0, 60.0, 59.9) is RunPhase.WITHIN
    assert run_phase(0.0, 60.0, 60.0) is RunPhase.OVERDUE
    assert run_phase(0.0, 60.0, 69.9) is RunPhase.OVERDUE
    assert run_phase(0.0, 60.0, 70.0) is RunPhase.STUCK
    assert run_phase(0.0, 0.0, 1e9) is RunPhase.WITHIN
