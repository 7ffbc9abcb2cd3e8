"""What the dialect takes and what it refuses, with the place of the fault."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import RotaError, SpecError
from rota.timing.cron import Cron, CronError
from rota.timing.cron_parse import ALIASES, parse
from tests.unit.timing.expressions import plains

if TYPE_CHECKING:
    from tests.unit.timing.brute_force import Plain

FULL = {"minute": 60, "hour": 24, "day": 31, "month": 12, "weekday": 7}


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("*/15 * * * *", "minute", {0, 15, 30, 45}),
        ("5/15 * * * *", "minute", {5, 20, 35, 50}),
        ("16-16/5 * * * *", "minute", {16}),
        ("10-20/5,59 * * * *", "minute", {10, 15, 20, 59}),
        ("007 * * * *", "minute", {7}),
        ("*/60 * * * *", "minute", {0}),
        ("* */24 * * *", "hour", {0}),
        ("* 22-23,0-2 * * *", "hour", {22, 23, 0, 1, 2}),
        ("* * 1,15,31 * *", "day", {1, 15, 31}),
        ("* * * jan,Feb,DEC *", "month", {1, 2, 12}),
        ("* * * mar-MAY *", "month", {3, 4, 5}),
        ("* * * JAN/4 *", "month", {1, 5, 9}),
        ("* * * * MON-fri", "weekday", {1, 2, 3, 4, 5}),
        ("* * * * 5-7", "weekday", {5, 6, 0}),
        ("* * * * 0-7", "weekday", set(range(7))),
        ("* * * * 7", "weekday", {0}),
        ("* * * * 0", "weekday", {0}),
        ("* * * * SUN-TUE", "weekday", {0, 1, 2}),
        ("* * * * 1/2", "weekday", {1, 3, 5, 0}),
        ("* * * * */2", "weekday", {0, 2, 4, 6}),
        ("\t 1\t2  3 4   5 ", "minute", {1}),
        ("? * * * * *", None, None),
        ("* * ? * ?", "day", set(range(1, 32))),
        ("* * ? * ?", "weekday", set(range(7))),
        ("*,5 * * * *", "minute", set(range(60))),
    ],
)
def test_fields_mean_what_the_dialect_says(text: str, name: str | None, values: set[int] | None) -> None:
    if name is None:
        with pytest.raises(CronError, match="day fields only"):
            parse(text)
        return
    assert set(getattr(parse(text), name)) == values


@given(plain=st.one_of(plains(), plains(seconds=True)))
def test_every_form_of_a_field_is_read_as_built(plain: Plain) -> None:
    try:
        fields = parse(plain.text)
    except CronError as error:
        assert "no year" in error.reason  # noqa: PT017 - the only fault such a text can have
        return

    read = (fields.second, fields.minute, fields.hour, fields.day, fields.month, fields.weekday)
    assert read == (plain.second, plain.minute, plain.hour, plain.day, plain.month, plain.weekday)
    assert fields.wild == plain.wild


def test_six_fields_have_seconds_first() -> None:
    assert set(parse("*/20 5 * * * *").second) == {0, 20, 40}
    assert set(parse("*/20 5 * * * *").minute) == {5}
    assert set(parse("5 * * * *").second) == {0}


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_are_known_in_any_case(alias: str) -> None:
    assert Cron(f" {alias.title()} ").next(datetime(2024, 5, 5, 5, 5, tzinfo=UTC)) == Cron(ALIASES[alias]).next(
        datetime(2024, 5, 5, 5, 5, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("text", "field", "column", "reason"),
    [
        # number of fields
        ("", "", 1, "has 0 fields"),
        ("   ", "", 1, "has 0 fields"),
        ("* * * *", "", 8, "has 4 fields"),
        ("* * * * * * *", "", 13, "has 7 fields"),
        ("0 0 1 1 * 2025 x y", "", 16, "has 8 fields"),
        # out of range
        ("60 * * * *", "minute", 1, "above 59"),
        ("* 24 * * *", "hour", 3, "above 23"),
        ("* * 0 * *", "day-of-month", 5, "below 1"),
        ("* * 32 * *", "day-of-month", 5, "above 31"),
        ("* * * 0 *", "month", 7, "below 1"),
        ("* * * 13 *", "month", 7, "above 12"),
        ("* * * * 8", "day-of-week", 9, "above 7"),
        ("60 * * * * *", "second", 1, "above 59"),
        ("99999999999999999999 * * * *", "minute", 1, "above 59"),
        ("  *  *  40 * *", "day-of-month", 9, "above 31"),
        ("1,2,99 * * * *", "minute", 5, "above 59"),
        ("0-99 * * * *", "minute", 3, "above 59"),
        ("* * 0W * *", "day-of-month", 5, "below 1"),
        ("* * 32W * *", "day-of-month", 5, "above 31"),
        ("* * * * 8#1", "day-of-week", 9, "above 7"),
        # backwards
        ("22-2 * * * *", "minute", 1, "backwards"),
        ("* 22-2 * * *", "hour", 3, "backwards"),
        ("* * * * FRI-SUN", "day-of-week", 9, "backwards"),
        ("* * * NOV-FEB *", "month", 7, "backwards"),
        ("* * * * 6-0", "day-of-week", 9, "backwards"),
        # steps
        ("*/0 * * * *", "minute", 3, "at least 1"),
        ("*/90 * * * *", "minute", 3, "above 60"),
        ("* */25 * * *", "hour", 5, "above 24"),
        ("* * * * */8", "day-of-week", 11, "above 7"),
        ("*/ * * * *", "minute", 3, "missing"),
        ("*/x * * * *", "minute", 3, "not a number"),
        ("*/5/5 * * * *", "minute", 3, "not a number"),
        ("*/-5 * * * *", "minute", 3, "not a number"),
        # not numbers
        ("a * * * *", "minute", 1, "not a number"),
        ("1:30 * * * *", "minute", 1, "time of day"),
        ("0 1:30 * * *", "hour", 3, "time of day"),
        ("+5 * * * *", "minute", 1, "not a number"),
        ("-5 * * * *", "minute", 1, "missing"),
        ("5- * * * *", "minute", 3, "missing"),
        ("1-2-3 * * * *", "minute", 3, "not a number"),
        ("1.5 * * * *", "minute", 1, "not a number"),
        ("*5 * * * *", "minute", 1, "not a number"),
        ("5* * * * *", "minute", 1, "not a number"),
        ("** * * * *", "minute", 1, "not a number"),
        ("0x5 * * * *", "minute", 1, "not a number"),
        ("~ * * * *", "minute", 1, "not a number"),
        ("H * * * *", "minute", 1, "not a number"),
        ("* * * JANUARY *", "month", 7, "three letters, as JAN"),
        ("* * * * Monday", "day-of-week", 9, "three letters, as MON"),
        ("* * * * XYZ", "day-of-week", 9, "not a number or a name"),
        ("* * MON * *", "day-of-month", 5, "not a number"),
        ("* JAN * * *", "hour", 3, "not a number"),
        # lists
        ("1,,2 * * * *", "minute", 3, "empty term"),
        (",1 * * * *", "minute", 1, "empty term"),
        ("1, * * * *", "minute", 3, "empty term"),
        ("1, 2 * * * *", "second", 3, "empty term"),
        # ?
        ("? * * * *", "minute", 1, "day fields only"),
        ("* ? * * *", "hour", 3, "day fields only"),
        ("* * * ? *", "month", 7, "day fields only"),
        ("* * ?,1 * *", "day-of-month", 5, "must stand alone"),
        ("* * ?/2 * *", "day-of-month", 5, "must stand alone"),
        # L, W, #
        ("* * L-3 * *", "day-of-month", 5, "only L and LW"),
        ("* * L/2 * *", "day-of-month", 5, "only L and LW"),
        ("* * L5 * *", "day-of-month", 5, "only L and LW"),
        ("* * W * *", "day-of-month", 5, "missing"),
        ("* * WL * *", "day-of-month", 5, "not a number"),
        ("* * 1-5W * *", "day-of-month", 5, "single day"),
        ("* * *W * *", "day-of-month", 5, "single day"),
        ("L * * * *", "minute", 1, "not a number"),
        ("* * 5#1 * *", "day-of-month", 5, "not a number"),
        ("* * * * 5#0", "day-of-week", 11, "1 to 5"),
        ("* * * * 5#6", "day-of-week", 11, "1 to 5"),
        ("* * * * FRI#", "day-of-week", 13, "1 to 5"),
        ("* * * * #2", "day-of-week", 9, "missing"),
        ("* * * * MON-FRI#2", "day-of-week", 9, "single day"),
        ("* * * * MON-FRIL", "day-of-week", 9, "single day"),
        ("* * * * L", "day-of-week", 9, "unclear"),
        ("* * * * L5", "day-of-week", 9, "not a number"),
        ("* * * * 5L#1", "day-of-week", 9, "not a number"),
        ("* * * * 15W", "day-of-week", 9, "not a number"),
        # never
        ("0 0 30 2 *", "day-of-month", 5, "no year"),
        ("0 0 31 4,6,9,11 *", "day-of-month", 5, "no year"),
        ("0 0 31W 4 *", "day-of-month", 5, "no year"),
        ("* * */20 * 1L", "day-of-month", 5, "no year"),
        ("0 0  30,31 FEB *", "day-of-month", 6, "no year"),
        ("0 0 9 * */7#1", "day-of-week", 9, "single day"),
        # letters
        ("*\u00a0* * * *", "", 2, "not allowed"),
        ("* * * * *\n", "", 10, "not allowed"),
        ("\u0661 * * * *", "", 1, "not allowed"),
        ("* * * * \u00b2", "", 9, "not allowed"),
        ("*/15\u2009* * * *", "", 5, "not allowed"),
        ("* * * * *\x00", "", 10, "not allowed"),
        # aliases
        ("@reboot", "", 1, "not a cron alias"),
        ("@every 5m", "", 1, "not a cron alias"),
        (" @fortnightly", "", 2, "not a cron alias"),
        ("@daily 5", "", 8, "stands alone"),
        ("5 @daily", "", 9, "has 2 fields"),
    ],
)
def test_faults_are_refused_with_field_column_and_reason(text: str, field: str, column: int, reason: str) -> None:
    with pytest.raises(CronError) as caught:
        Cron(text)

    error = caught.value
    assert (error.field, error.column) == (field, column)
    assert reason in error.reason
    assert f"column {column}" in error.message
    assert error.expression == text


@pytest.mark.parametrize("given", [None, 5, b"* * * * *", ["*"] * 5])
def test_what_is_not_text_is_refused(given: object) -> None:
    with pytest.raises(CronError, match="an expression is text"):
        Cron(given)  # type: ignore[arg-type]


@given(text=st.text(alphabet="*/-,?LW#0123456789 \tAFIMNORUSET@\u00a0", max_size=24))
def test_any_text_is_a_schedule_that_advances_or_an_error_that_says_where(text: str) -> None:
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    try:
        cron = Cron(text)
    except CronError as error:
        assert 1 <= error.column <= len(text) + 1  # noqa: PT017
        assert error.reason  # noqa: PT017
        return
    following = cron.next(moment)
    assert following is not None
    assert following > moment
    assert cron.explain()


def test_errors_are_ours_and_values_at_once() -> None:
    with pytest.raises(CronError) as caught:
        Cron("61 * * * *")

    assert isinstance(caught.value, SpecError)
    assert isinstance(caught.value, RotaError)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == "cron expression '61 * * * *', minute, column 1: 61 is above 59"


def test_a_backward_range_comes_with_what_to_write_instead() -> None:
    with pytest.raises(CronError) as caught:
        Cron("0 22-2 * * *")

    assert caught.value.hint == "write 22-23,0-2"
    assert Cron("0 22-23,0-2 * * *")


def test_an_error_survives_pickling_and_copying() -> None:
    with pytest.raises(CronError) as caught:
        Cron("0 22-2 * * *")

    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (str(twin), twin.field, twin.column) == (str(caught.value), "hour", 3)


@pytest.mark.parametrize("tz", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe", "europe/berlin ", 5])
def test_an_unknown_zone_is_refused(tz: str) -> None:
    with pytest.raises(CronError) as caught:
        Cron("* * * * *", tz)

    assert caught.value.field == "time zone"


def test_an_unknown_rule_for_clock_changes_is_refused() -> None:
    with pytest.raises(CronError, match="'debian' or 'real'"):
        Cron("* * * * *", "UTC", "croner")  # type: ignore[arg-type]


def test_zones_may_be_given_as_objects() -> None:
    moment = datetime(2024, 7, 1, tzinfo=UTC)

    assert Cron("0 2 * * *", ZoneInfo("Europe/Berlin")).next(moment) == Cron("0 2 * * *", "Europe/Berlin").next(moment)
    assert Cron("0 2 * * *", ZoneInfo("Europe/Berlin")) == Cron("0 2 * * *", "Europe/Berlin")
    assert Cron("0 2 * * *", UTC) == Cron("0 2 * * *")
    fixed = Cron("0 2 * * *", timezone(timedelta(hours=5, minutes=30)))
    assert fixed.next(moment) == datetime(2024, 7, 1, 20, 30, tzinfo=UTC)
    assert fixed.prev(moment) == datetime(2024, 6, 30, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize("dst", ["debian", "real"])
def test_a_cron_is_a_value(dst: str) -> None:
    cron = Cron("*/5 * * * *", "Europe/Berlin", dst)  # type: ignore[arg-type]

    assert cron == eval(repr(cron), {"Cron": Cron})
    assert pickle.loads(pickle.dumps(cron)) == cron
    assert len({cron, copy.copy(cron)}) == 1
    assert cron != Cron("*/5 * * * *", "Europe/Paris", dst)  # type: ignore[arg-type]
    assert cron != "*/5 * * * *"
    assert (cron.expression, cron.tz, cron.dst) == ("*/5 * * * *", "Europe/Berlin", dst)
    with pytest.raises(AttributeError):
        cron.tz = "UTC"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "wild"),
    [
        ("* * * * *", True),
        ("*/5 2 * * *", True),
        ("0 * * * *", True),
        ("0 */2 * * *", True),
        ("@hourly", True),
        ("*,5 2 * * *", True),
        ("*/10 0 2 * * *", True),
        ("0 * 2 * * *", True),
        ("30 2 * * *", False),
        ("0,30 2 * * *", False),
        ("0-59 2 * * *", False),
        ("0-59/5 0-23 * * *", False),
        ("5/10 2 * * *", False),
        ("5,* 2 * * *", False),
        ("30 2 */2 * *", False),
        ("0 30 2 * * *", False),
        ("@daily", False),
    ],
)
def test_wild_is_a_leading_star_in_seconds_minutes_or_hours(text: str, wild: bool) -> None:
    cron = Cron(text)

    assert (cron.wild, cron.fixed) == (wild, not wild)
