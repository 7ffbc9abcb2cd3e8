"""The forms of output, as functions of bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.logs.encode import RAW, Dated, JsonLines, encoder

WALL = 1_767_449_045.078
TEXT = st.binary(max_size=60) | st.text(alphabet='ab\\n"\\\n\r\t\x00\u2028é\U0001f600', max_size=40).map(str.encode)


def dated() -> Dated:
    return Dated(lambda wall: f"<{wall:.0f}>")


def test_every_line_gets_the_date_and_a_colon() -> None:
    assert dated().encode(b"one\n\ntwo\n", WALL, True) == b"<1767449045>: one\n<1767449045>: \n<1767449045>: two\n"


def test_the_rest_of_a_line_gets_no_second_date() -> None:
    assert dated().encode(b"rest\nnext\n", WALL, False) == b"rest\n<1767449045>: next\n"


def test_an_unfinished_line_stays_unfinished() -> None:
    assert dated().encode(b"password? ", WALL, True) == b"<1767449045>: password? "


@given(TEXT.filter(lambda data: b"\n" in data))
def test_dates_come_off_again_line_by_line(data: bytes) -> None:
    data = data[: data.rindex(b"\n") + 1]
    lines = dated().encode(data, WALL, True).split(b"\n")

    assert all(line.startswith(b"<1767449045>: ") for line in lines[:-1])
    assert b"\n".join([line.removeprefix(b"<1767449045>: ") for line in lines[:-1]] + lines[-1:]) == data


@given(TEXT.filter(bool))
def test_one_json_object_per_line_with_the_message_as_it_was(data: bytes) -> None:
    made = JsonLines("err", 3, 'a"pi', lambda wall: "T").encode(data, WALL, True)

    objects = [json.loads(line) for line in made.decode().split("\n")[:-1]]
    assert made.endswith(b"\n")
    assert "".join(each["message"] for each in objects) == data.decode("utf-8", "replace")
    assert len(objects) == data.count(b"\n") + (not data.endswith(b"\n"))
    assert {tuple(each) for each in objects} == {("message", "timestamp", "type", "process_id", "app_name")}
    assert {(each["timestamp"], each["type"], each["process_id"], each["app_name"]) for each in objects} == {
        ("T", "err", 3, 'a"pi')
    }


def test_json_looks_as_pm2_writes_it() -> None:
    made = encoder(kind="out", process_id=3, app_name="js", log_type="json").encode(b"tick 0\n", 1769891047.704, True)

    assert made == (
        b'{"message":"tick 0\\n","timestamp":"2026-01-31T20:24:07.704Z","type":"out","process_id":3,"app_name":"js"}\n'
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, b"x\n"),
        ({"log_date_format": "[on] YYYY"}, b"on 2026: x\n"),
        ({"time": True, "log_date_format": "YYYY"}, b"2026: x\n"),
        (
            {"log_type": "json", "log_date_format": "YYYY"},
            b'{"message":"x\\n","timestamp":"2026","type":"out","process_id":0,"app_name":"a"}\n',
        ),
        ({"log_type": "plain"}, b"x\n"),
    ],
)
def test_options_choose_the_form(options: dict[str, str], expected: bytes) -> None:
    made = encoder(kind="out", process_id=0, app_name="a", **options).encode(b"x\n", WALL, True)

    assert made == expected


def test_time_alone_means_the_date_pm2_gives_it() -> None:
    made = encoder(kind="out", process_id=0, app_name="a", time=True).encode(b"x\n", WALL, True)

    assert len(made) == len(b"2026-01-03T15:04:05: x\n")
    assert made[10:11] == b"T"


def test_without_options_bytes_may_be_spliced() -> None:
    assert encoder(kind="out", process_id=0, app_name="a") is RAW
    assert RAW.raw
