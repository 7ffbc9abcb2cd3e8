"""When to rotate, names, and which old files go."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import SpecError
from rota.logs.rotation import (
    MIB,
    NextInstant,
    Rotated,
    RotationPolicy,
    beyond_keep,
    beyond_total,
    chain,
    daily,
    live_candidates,
    parse_size,
    policy_from_settings,
    rotated_name,
    rotated_stem,
)

PARIS = ZoneInfo("Europe/Paris")


def cron(expression: str, tz: str | None) -> NextInstant:
    if expression.count(" ") < 4:
        raise ValueError("needs five fields")
    return lambda after: after + 1 if tz == "UTC" else after + 2


def rotated(stem: str, modified: float = 0.0, size: int = 1, *, gz: bool = False) -> Rotated:
    return Rotated(stem + (".gz" if gz else ""), stem, modified, size)


@pytest.mark.parametrize(
    ("size", "since", "expected"),
    [(10 * MIB - 1, 99.0, False), (10 * MIB, 99.0, True), (10 * MIB, 29.0, False), (256 * MIB, 0.0, True)],
)
def test_size_is_looked_at_as_often_as_asked_but_a_quarter_of_the_cap_does_not_wait(
    size: int, since: float, expected: bool
) -> None:
    assert RotationPolicy(check_every=30.0).is_too_big(size, since) is expected


def test_size_zero_means_never_by_size() -> None:
    assert not RotationPolicy(max_size=0).is_too_big(10**12, 99.0)


def test_the_default_is_daily_by_local_midnight_ten_megabytes_thirty_files_compressed() -> None:
    policy = RotationPolicy()
    due = datetime.fromtimestamp(policy.next_after(1_767_449_045.0))

    assert (policy.max_size, policy.keep, policy.compress, policy.max_total) == (10 * MIB, 30, True, 1024 * MIB)
    assert (due.hour, due.minute, due.second) == (0, 0, 0)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((2026, 3, 28, 12), (2026, 3, 29)),
        ((2026, 3, 29, 0), (2026, 3, 30)),  # 23 hours long
        ((2026, 10, 25, 0), (2026, 10, 26)),  # 25 hours long
    ],
)
def test_midnights_are_the_zones_own_across_clock_changes(after: tuple[int, ...], expected: tuple[int, ...]) -> None:
    start = datetime(*after, tzinfo=PARIS).timestamp()  # type: ignore[misc]

    assert daily(PARIS)(start) == datetime(*expected, tzinfo=PARIS).timestamp()  # type: ignore[misc]


@given(st.floats(0, 4e9))
def test_the_next_midnight_is_always_later(instant: float) -> None:
    due = daily(PARIS)(instant)

    assert due is not None
    assert instant < due <= instant + 25 * 3600


def test_a_policy_without_time_never_comes_due() -> None:
    assert RotationPolicy(next_time=None).next_after(0.0) == float("inf")
    assert RotationPolicy(next_time=lambda after: None).next_after(0.0) == float("inf")


def test_names_are_those_of_pm2_logrotate() -> None:
    assert rotated_name("api-out.log", "2026-01-31_00-00-00", 0) == "api-out__2026-01-31_00-00-00.log"
    assert rotated_name("api-out.log", "2026-01-31_00-00-00", 2) == "api-out__2026-01-31_00-00-00.2.log"
    assert rotated_name("out", "2026/01", 0) == "out__2026-01.log"


@given(st.from_regex(r"[a-z._-]{1,12}(\.log)?", fullmatch=True), st.integers(0, 9), st.booleans())
def test_a_rotated_name_is_recognized_as_its_logs_and_leads_back_to_it(name: str, turn: int, gz: bool) -> None:
    made = rotated_name(name, "2026-01-31_00-00-00", turn)

    assert rotated_stem(name, made + ".gz" * gz) == made
    assert name in live_candidates(made + ".gz" * gz)


@pytest.mark.parametrize(
    "name", ["api__blue.log", "api.log", "api-out__2026.log", "api__2026.txt", "api__2026.log.gz.tmp", "xapi__2026.log"]
)
def test_other_files_are_not_taken_for_rotated_ones(name: str) -> None:
    assert rotated_stem("api.log", name) is None


def test_the_chain_is_oldest_first_by_time_then_turn_and_a_file_being_compressed_counts_once() -> None:
    files = [
        rotated("a__2.10.log", 5.0),
        rotated("a__2.9.log", 5.0),
        rotated("a__2.log", 5.0, gz=True),
        rotated("a__9.log", 1.0, gz=True),
        rotated("a__9.log", 1.0),
    ]

    assert [file.name for file in chain(files)] == ["a__9.log", "a__2.log.gz", "a__2.9.log", "a__2.10.log"]


@given(st.lists(st.integers(0, 50), max_size=8), st.none() | st.integers(0, 9))
def test_exactly_the_newest_are_kept(sizes: list[int], keep: int | None) -> None:
    files = [rotated(f"a__{number}.log", number, size) for number, size in enumerate(sizes)]
    gone = beyond_keep(files, keep)

    assert gone == files[: len(gone)]
    assert len(files) - len(gone) == (len(files) if keep is None else min(keep, len(files)))


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 60), st.integers(0, 200))
def test_the_oldest_go_until_the_rest_fits_and_not_one_more(sizes: list[int], live: int, cap: int) -> None:
    files = [rotated(f"a__{number}.log", number, size) for number, size in enumerate(sizes)]
    gone = beyond_total(reversed(files), live, cap)
    left = files[len(gone) :]

    assert gone == files[: len(gone)]
    if cap == 0:
        assert gone == []
    else:
        assert not left or live + sum(file.size for file in left) <= cap
        assert not gone or live + gone[-1].size + sum(file.size for file in left) > cap


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10M", 10 * MIB), ("1.5g", 1536 * MIB), ("64K", 65536), ("7", 7), ("2MB", 2 * MIB), ("0", 0)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1M", "10T", "ten"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="is not a size"):
        parse_size(text)


def test_pm2_logrotates_settings_are_understood() -> None:
    policy = policy_from_settings(
        {
            "pm2-logrotate:max_size": "1M",
            "pm2-logrotate:retain": "5",
            "pm2-logrotate:compress": "false",
            "pm2-logrotate:dateFormat": "YYYY",
            "pm2-logrotate:rotateInterval": "0 * * * *",
            "pm2-logrotate:workerInterval": "30",
            "pm2-logrotate:rotateModule": "true",
            "pm2-logrotate:TZ": "UTC",
        },
        cron,
    )

    assert (policy.max_size, policy.keep, policy.compress, policy.check_every) == (MIB, 5, False, 30.0)
    assert (policy.date()(0.0), policy.next_after(7.0)) == ("1970", 8.0)


def test_values_may_be_of_their_own_type_and_what_is_not_set_is_rotas_default() -> None:
    policy = policy_from_settings({"retain": 7, "compress": True, "max_total": "2G"}, cron)

    assert (policy.keep, policy.compress, policy.max_total, policy.max_size) == (7, True, 2048 * MIB, 10 * MIB)
    assert policy.next_after(7.0) == 9.0


def test_retain_all_keeps_everything() -> None:
    assert policy_from_settings({"retain": "all"}, cron).keep is None


def test_an_empty_interval_means_never_by_time() -> None:
    assert policy_from_settings({"rotateInterval": ""}, cron).next_after(0.0) == float("inf")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_size", "huge", "is not a size"),
        ("retain", "-1", "fewer than 0"),
        ("compress", "perhaps", "neither true nor false"),
        ("dateFormat", "[now]", "contains no date"),
        ("rotateInterval", "daily", "five fields"),
        ("workerInterval", "often", "number of seconds"),
        ("TZ", "Mars/Olympus", "pm2-logrotate:TZ: unknown time zone"),
        ("max_total", "huge", "pm2-logrotate:max_total: 'huge' is not a size"),
        ("maxsize", "1M", 'did you mean "max_size"'),
    ],
)
def test_wrong_settings_are_refused_with_a_reason(key: str, value: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        policy_from_settings({f"pm2-logrotate:{key}": value}, cron)

    assert message in str(caught.value)
