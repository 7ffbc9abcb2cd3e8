"""Colour and width: on a terminal only, and never against the user's wish."""

from __future__ import annotations

import os
import pty
import threading

import pytest

from rota.cli.terminal import NOT_A_TERMINAL_WIDTH, is_abandoned, is_terminal, wants_colour, width, write


@pytest.mark.parametrize(
    ("environ", "terminal", "forbidden", "expected"),
    [
        ({}, True, False, True),
        ({}, False, False, False),
        ({"FORCE_COLOR": "1"}, False, False, False),
        ({"NO_COLOR": "1"}, True, False, False),
        ({"NO_COLOR": ""}, True, False, True),
        ({"FORCE_COLOR": "0"}, True, False, False),
        ({"TERM": "dumb"}, True, False, False),
        ({"TERM": "xterm"}, True, True, False),
    ],
)
def test_colour(environ: dict[str, str], terminal: bool, forbidden: bool, expected: bool) -> None:
    assert wants_colour(environ, terminal, forbidden) is expected


def test_a_terminal_has_its_width_and_a_pipe_pm2s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    master, slave = pty.openpty()
    reading, writing = os.pipe()
    try:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 91, 0, 0))
        assert is_terminal(slave)
        assert width(slave) == 91
        assert not is_terminal(writing)
        assert width(writing) == NOT_A_TERMINAL_WIDTH
    finally:
        for fd in (master, slave, reading, writing):
            os.close(fd)


def test_write_writes_everything() -> None:
    reading, writing = os.pipe()
    try:
        write(writing, b"x" * 1000)
        assert os.read(reading, 2000) == b"x" * 1000
    finally:
        os.close(reading)
        os.close(writing)


def test_write_waits_for_room_where_somebody_made_our_output_non_blocking() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"x" * 300_000
    read: list[bytes] = []

    def drain() -> None:
        while sum(map(len, read)) < len(data):
            read.append(os.read(reading, 4096))

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        write(writing, data)
    finally:
        thread.join(10)
        os.close(reading)
        os.close(writing)
    assert b"".join(read) == data


def test_a_pipe_that_nobody_reads_is_abandoned() -> None:
    reading, writing = os.pipe()
    try:
        assert not is_abandoned(writing)
    finally:
        os.close(reading)
    try:
        assert is_abandoned(writing)
    finally:
        os.close(writing)


@pytest.mark.parametrize(("asked", "expected"), [("60", 60), ("", 300), ("0", 300), ("wide", 300), ("-5", 300)])
def test_columns_that_were_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str, expected: int) -> None:
    monkeypatch.setenv("COLUMNS", asked)
    with open(os.devnull, "w") as nowhere:
        assert width(nowhere.fileno()) == expected
