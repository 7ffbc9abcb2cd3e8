"""PM2's freedoms of order: options anywhere before `--`, and what comes after it."""

from __future__ import annotations

import pytest

from rota.cli.main import Line, arranged


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("list", Line(("list",), (), False, False)),
        ("-s list", Line(("list",), (), True, False)),
        ("list --silent", Line(("list",), (), True, False)),
        ("--no-color list", Line(("list",), (), False, True)),
        ("start a.py -- -s --name x", Line(("start", "a.py"), ("-s", "--name", "x"), False, False)),
        ("--name x start a.py", Line(("start", "--name", "x", "a.py"), (), False, False)),
        ("-i 3 --watch start a.py", Line(("start", "-i", "3", "--watch", "a.py"), (), False, False)),
        ("start a.py --interpreter-args -s", Line(("start", "a.py", "--interpreter-args", "-s"), (), False, False)),
        ("send 0 -- -x", Line(("send", "0", "--", "-x"), (), False, False)),
        ("", Line((), (), False, False)),
        ("-h", Line(("-h",), (), False, False)),
    ],
)
def test_order(typed: str, expected: Line) -> None:
    assert arranged(typed.split()) == expected
