"""How lines are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from rota.logs.dates import DateFormat
from rota.logs.frame import (
    Origin,
    Record,
    Style,
    as_format,
    as_json,
    as_text,
    event_as_json,
    file_header,
    label_width,
    tailing_header,
    time_in_line,
)

T0 = 1_769_891_047.704  # 2026-01-31T20:24:07.704Z
API = Origin("/l/api-out.log", "out", "api", 0)
LONG = Origin("/l/very-long-name-error.log", "err", "very-long-name", 12)
ROTA = Origin("/l/rota.log", "rota", "rota")
UTC_DATE = DateFormat("YYYY-MM-DD-HH:mm:ssZZ", UTC)


def test_headers_are_those_of_pm2() -> None:
    assert tailing_header(15, "all") == (
        "[TAILING] Tailing last 15 lines for [all] processes (change the value with --lines option)"
    )
    assert tailing_header(3, "api") == (
        "[TAILING] Tailing last 3 lines for [api] process (change the value with --lines option)"
    )
    assert file_header("/l/api-out.log", 15) == "/l/api-out.log last 15 lines:"


def test_labels_are_padded_to_the_widest_and_never_cut() -> None:
    style = Style(width=label_width([API, LONG, ROTA]))
    shown = [as_text(Record(origin, T0, b"hello"), style) for origin in (API, LONG, ROTA)]

    assert shown == [b"0|api             | hello\n", b"12|very-long-name | hello\n", b"rota              | hello\n"]


def test_raw_is_the_line_and_nothing_else() -> None:
    assert as_text(Record(API, T0, b"\xff\x00hi"), Style(raw=True, date=UTC_DATE)) == b"\xff\x00hi\n"


def test_a_date_stands_first_if_it_is_known() -> None:
    style = Style(width=5, date=DateFormat("HH:mm", UTC))

    assert as_text(Record(API, T0, b"x"), style) == b"20:24 0|api | x\n"
    assert as_text(Record(API, None, b"x"), style) == b"0|api | x\n"


def test_colours_tell_streams_apart_and_only_where_they_may() -> None:
    coloured = Style(width=5, colour=True, highlight="err")

    assert as_text(Record(API, T0, b"an err err"), coloured) == b"\x1b[32m0|api | \x1b[0man \x1b[7merr\x1b[0m err\n"
    assert b"\x1b[31m" in as_text(Record(LONG, T0, b""), coloured)
    assert b"\x1b" not in as_text(Record(API, T0, b"an err"), Style(width=5, highlight="err"))


def test_json_has_pm2s_keys_in_pm2s_order() -> None:
    assert as_json(Record(API, T0, 'say "hé"'.encode())) == (
        '{"message":"say \\"hé\\"","timestamp":"2026-01-31T20:24:07.704Z","type":"out","process_id":0,"app_name":"api"}'
    )
    assert json.loads(as_json(Record(API, None, b"x")))["timestamp"] is None


def test_a_line_of_a_json_log_is_not_wrapped_twice() -> None:
    line = '{"message":"x\\n","timestamp":"T","type":"out","process_id":0,"app_name":"api"}'

    assert as_json(Record(API, T0, line.encode())) == line
    assert json.loads(as_json(Record(API, T0, b'{"message":1}')))["message"] == '{"message":1}'


def test_events_are_lines_of_json_too() -> None:
    assert event_as_json("online", "x", T0) == (
        '{"timestamp":"2026-01-31T20:24:07.704Z","type":"process_event","status":"online","app_name":"x"}'
    )


def test_key_value_format() -> None:
    assert as_format(Record(API, T0, b"hello"), UTC_DATE) == (
        "timestamp=2026-01-31-20:24:07+0000 app=api id=0 type=out message=hello"
    )
    assert " type=error " in as_format(Record(LONG, T0, b"hello"), UTC_DATE)
    assert as_format(Record(ROTA, None, b"hello"), UTC_DATE) == "timestamp=- app=rota message=hello"


@pytest.mark.parametrize(
    "line",
    [
        b"2026-01-31T20:24:07.704Z started",
        b"2026-01-31 21:24:07,704+01:00 INFO started",
        b"[2026-01-31T20:24:07.704+0000] started",
        b'{"message":"a, \\"timestamp\\"","timestamp":"2026-01-31T20:24:07.704Z","type":"out"}',
    ],
)
def test_a_line_may_carry_its_own_time(line: bytes) -> None:
    assert time_in_line(line) == pytest.approx(T0)


def test_a_time_without_zone_is_local() -> None:
    assert time_in_line(b"2026-01-31T20:24:07: x") == datetime(2026, 1, 31, 20, 24, 7).timestamp()


@pytest.mark.parametrize("line", [b"", b"hello", b"at 2026-01-31T20:24:07Z", b"2026-13-31T20:24:07Z", b"2026-01-31"])
def test_most_lines_carry_none(line: bytes) -> None:
    assert time_in_line(line) is None
