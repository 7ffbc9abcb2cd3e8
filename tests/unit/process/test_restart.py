"""The restart policy by itself: bounded, monotone, and honest about why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.jobs.spec import JobSpec
from rota.process.restart import Again, GiveUp, Stay, decide, exit_text, limit, next_delay, signal_name
from rota.process.spec import AppSpec, RestartSpec
from rota.process.state import Exit

seconds = st.floats(0, 10_000, allow_nan=False)


@given(first=st.floats(0.001, 20.0), lasted=st.lists(st.floats(0, 29.9), min_size=1, max_size=60))
def test_backoff_is_monotone_and_bounded(first: float, lasted: list[float]) -> None:
    policy = RestartSpec(exp_backoff=first)
    delay, delays = 0.0, []
    for run in lasted:
        delay = next_delay(policy, delay, run)
        delays.append(delay)
    assert delays[0] == first
    assert all(0 < each <= max(15.0, first) for each in delays)
    assert delays[1:] == sorted(delays[1:])


@given(previous=seconds, lasted=st.floats(30.0, 1e6))
def test_a_long_run_starts_the_backoff_afresh(previous: float, lasted: float) -> None:
    assert next_delay(RestartSpec(exp_backoff=0.2), previous, lasted) == 0.2


@given(delay=st.floats(0, 60), previous=seconds, lasted=seconds)
def test_without_backoff_the_delay_is_the_configured_one(delay: float, previous: float, lasted: float) -> None:
    assert next_delay(RestartSpec(restart_delay=delay), previous, lasted) == delay


@given(unstable=st.integers(0, 100), limit=st.integers(0, 50), code=st.integers(0, 255))
def test_it_gives_up_exactly_at_the_limit(unstable: int, limit: int, code: int) -> None:
    spec = AppSpec(name="a", restart=RestartSpec(max_restarts=limit))
    verdict = decide(spec, Exit(0.0, code=code), unstable, 0.0, 0.1)
    assert isinstance(verdict, GiveUp if unstable >= limit else Again)


def loop(policy: RestartSpec, runs: int = 400) -> int | None:
    """After how many runs that crash at once it is given up; None: not within `runs`."""
    spec, delay = AppSpec(name="a", restart=policy), 0.0
    for unstable in range(1, runs + 1):
        verdict = decide(spec, Exit(0.0, code=1), unstable, delay, 0.1)
        if isinstance(verdict, GiveUp):
            return unstable
        assert isinstance(verdict, Again)
        delay = verdict.delay
    return None


@pytest.mark.parametrize(
    ("policy", "runs"),
    [
        (RestartSpec(), 16),
        (RestartSpec(restart_delay=0.3), 16),
        # Whoever asked for a pause waits for a database to come back: as in PM2, for as long as it takes.
        (RestartSpec(restart_delay=5.0), None),
        (RestartSpec(exp_backoff=0.1), None),
        (RestartSpec(exp_backoff=0.001), 16),
        (RestartSpec(exp_backoff=0.1, max_restarts=16), 16),
        (RestartSpec(restart_delay=5.0, max_restarts=3), 3),
        (RestartSpec(max_restarts=0), 1),
    ],
)
def test_a_crash_loop_is_given_up_unless_it_pauses(policy: RestartSpec, runs: int | None) -> None:
    assert loop(policy) == runs
    if policy.exp_backoff != 0.001:  # a backoff that never grows: floor(1 ms * 1.5) is 1 ms, in PM2 too
        assert limit(policy) == (0 if policy.max_restarts == 0 else runs)


@pytest.mark.parametrize(
    ("spec", "exit", "kind"),
    [
        (AppSpec(name="a", restart=RestartSpec(autorestart=False)), Exit(0.0, code=1), Stay),
        (AppSpec(name="a", job=JobSpec()), Exit(0.0, code=1), Stay),
        (AppSpec(name="a", restart=RestartSpec(stop_exit_codes=(0,))), Exit(0.0, code=0), Stay),
        (AppSpec(name="a", restart=RestartSpec(stop_exit_codes=(0,))), Exit(0.0, signal=9), Again),
        (AppSpec(name="a", restart=RestartSpec(stop_exit_codes=(0,))), Exit(0.0, known=False), Again),
        (AppSpec(name="a"), None, Again),
    ],
)
def test_who_is_started_again(spec: AppSpec, exit: Exit | None, kind: type) -> None:
    assert isinstance(decide(spec, exit, 1, 0.0, 0.1), kind)


@pytest.mark.parametrize(
    ("exit", "text"),
    [
        (Exit(0.0, code=3), "exit code 3"),
        (Exit(0.0, signal=9), "signal SIGKILL"),
        (Exit(0.0, signal=40), "signal 40"),
        (Exit(0.0, known=False), "exit code unknown"),
        (None, "exit code unknown"),
    ],
)
def test_how_an_exit_reads(exit: Exit | None, text: str) -> None:
    assert text == exit_text(exit)


def test_signal_names_are_those_of_linux() -> None:
    import signal

    for known in signal.Signals:
        shown = signal_name(known.value)
        assert shown == known.name or shown == f"signal {known.value}" or known.name in ("SIGIOT", "SIGRTMIN")


@pytest.mark.parametrize("ran", [0.1, 3600.0])
def test_no_restarts_at_all_is_given_up_in_words_that_fit(ran: float) -> None:
    policy = AppSpec(name="app", restart=RestartSpec(max_restarts=0))
    assert decide(policy, Exit(code=3, at=1.0), 0 if ran > 1 else 1, 0.0, ran) == GiveUp(
        "max_restarts is 0: not started again after exit code 3"
    )
