"""Never a token too many, in every order of takes, reservations, refunds and penalties."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.timing.bucket import FULL, Limit, idle, penalize, refund, reserve, shift, take, tokens

NOW = 1_700_000_000.0
INF = float("inf")


def test_the_burst_goes_at_once_and_tokens_come_back_one_by_one() -> None:
    limit, state = Limit(10, 900), FULL
    for _ in range(10):
        state, wait = take(limit, state, 1, NOW)
        assert wait == 0

    same, wait = take(limit, state, 1, NOW)
    assert (same, wait) == (state, pytest.approx(90))
    assert tokens(limit, state, NOW) == 0
    assert tokens(limit, state, NOW + 45) == pytest.approx(0.5)
    _, wait = take(limit, state, 1, NOW + 89.9)
    assert wait == pytest.approx(0.1)
    state, wait = take(limit, state, 1, NOW + 90)
    assert wait == 0
    assert tokens(limit, state, NOW + 10_000) == 10


def test_weights() -> None:
    limit, state = Limit(10, 10), FULL
    state, wait = take(limit, state, 7, NOW)
    assert wait == 0
    _, wait = take(limit, state, 7, NOW)
    assert wait == pytest.approx(4)
    _, wait = take(limit, state, 11, NOW)
    assert wait == INF
    unchanged, wait = reserve(limit, state, 11, NOW)
    assert (unchanged, wait) == (state, INF)


def test_reservations_wait_in_the_order_they_were_made() -> None:
    limit, state = Limit(2, 2), FULL
    waits = []
    for n in (1, 1, 2, 1):
        state, wait = reserve(limit, state, n, NOW)
        waits.append(round(wait, 6))

    assert waits == [0, 0, 2, 3]
    _, wait = take(limit, state, 1, NOW)
    assert wait == pytest.approx(4)  # a newcomer does not overtake


def test_a_refund_gives_the_place_back() -> None:
    limit, state = Limit(1, 1), FULL
    state, _ = reserve(limit, state, 1, NOW)
    state, wait = reserve(limit, state, 1, NOW)
    assert wait == pytest.approx(1)
    state, wait = reserve(limit, refund(limit, state, 1), 1, NOW)
    assert wait == pytest.approx(1)


def test_a_refund_never_makes_more_than_full() -> None:
    limit = Limit(5, 5)
    state, _ = take(limit, FULL, 1, NOW)

    assert tokens(limit, refund(limit, refund(limit, state, 1), 5), NOW) == 5


def test_a_penalty_stops_everything_then_lets_it_trickle() -> None:
    limit = Limit(10, 10)
    state = penalize(limit, FULL, NOW + 60)

    _, wait = take(limit, state, 1, NOW)
    assert wait == pytest.approx(60)
    assert tokens(limit, state, NOW + 59) == 0
    state, wait = take(limit, state, 1, NOW + 60)
    assert wait == 0
    _, wait = take(limit, state, 1, NOW + 60)
    assert wait == pytest.approx(1)
    assert tokens(limit, state, NOW + 70) == pytest.approx(10)


def test_a_penalty_outlives_refunds_and_shorter_penalties() -> None:
    limit = Limit(10, 10)
    state, _ = take(limit, FULL, 5, NOW)
    state = penalize(limit, penalize(limit, state, NOW + 60), NOW + 5)
    state = refund(limit, state, 5)

    _, wait = take(limit, state, 1, NOW)
    assert wait >= 60
    _, wait = reserve(limit, state, 1, NOW)
    assert wait >= 60


def test_idle_rows_may_be_dropped() -> None:
    limit = Limit(10, 10)
    state, _ = take(limit, FULL, 3, NOW)

    assert not idle(state, NOW + 2.9)
    assert idle(state, NOW + 3)
    assert not idle(penalize(limit, FULL, NOW + 5), NOW)


def test_a_clock_that_was_put_back_takes_its_buckets_along() -> None:
    limit = Limit(1, 10)
    state, _ = take(limit, FULL, 1, NOW)

    assert take(limit, shift(state, -3600), 1, NOW - 3600)[1] == take(limit, state, 1, NOW)[1]


@pytest.mark.parametrize(
    ("limit", "per", "burst"), [(0, 1, 0), (1, 0, 0), (1, 1, -1), (INF, 1, 0), (float("nan"), 1, 0)]
)
def test_a_limit_without_sense_is_refused(limit: float, per: float, burst: float) -> None:
    with pytest.raises(ValueError, match="a limit has"):
        Limit(limit, per, burst)


_LIMITS = st.builds(
    Limit, st.integers(1, 40), st.sampled_from([0.5, 1.0, 7.0, 900.0]), st.one_of(st.just(0), st.integers(1, 40))
)
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "reserve", "refund", "penalize", "wait"]), st.integers(1, 5), st.floats(0, 2)
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(limit=_LIMITS, steps=_STEPS)
def test_grants_never_exceed_burst_and_rate(limit: Limit, steps: list[tuple[str, int, float]]) -> None:
    state, now = FULL, NOW
    granted: list[tuple[float, float]] = []
    blocked = 0.0
    for what, n, fraction in steps:
        match what:
            case "take":
                state, wait = take(limit, state, n, now)
                if not wait:
                    granted.append((now, n))
                    assert now >= blocked - 1e-5
            case "reserve":
                state, wait = reserve(limit, state, n, now)
                if wait < INF:
                    granted.append((now + wait, n))
                    assert now + wait >= blocked - 1e-5
            case "refund" if granted and granted[-1][0] > now:
                _, last = granted.pop()
                state = refund(limit, state, last)
            case "penalize":
                blocked = max(blocked, now + fraction * limit.per)
                state = penalize(limit, state, now + fraction * limit.per)
            case _:
                now += fraction * limit.interval * n
        assert 0 <= tokens(limit, state, now) <= limit.burst

    assert granted == sorted(granted, key=lambda grant: grant[0])
    for first, (start, _) in enumerate(granted):
        total = 0.0
        for at, n in granted[first:]:
            total += n
            assert total <= limit.burst + (at - start) / limit.interval + 1e-3


def test_with_a_burst_of_one_the_plain_bucket_is_as_strict_as_a_window() -> None:
    limit, state, now, taken = Limit(15, 900, burst=1), FULL, NOW, []
    while now < NOW + 2700:
        state, wait = take(limit, state, 1, now)
        if not wait:
            taken.append(now)
        now += 7

    assert max(sum(1 for at in taken if start <= at < start + 900) for start in taken) <= 15
