"""Width, cutting, wrapping, and that nothing steers the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.render.table import Column, box, facts
from rota.render.text import PLAIN, RED, Style, cut, fit, printable, width_of, wrapped


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("😀", 2), ("a\u200db", 2), ("", 0)]
)
def test_display_width(text: str, width: int) -> None:
    assert width_of(text) == width


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abcdef", 4, "abc…"), ("漢字漢字", 4, "漢…"), ("abc", 3, "abc"), ("abc", 0, ""), ("ab", 1, "…")],
)
def test_cutting(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


@given(text=st.text(), width=st.integers(0, 40), right=st.booleans())
def test_a_cell_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    assert width_of(fit(text, width, right)) == width


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_printed_holds_no_control(text: str) -> None:
    shown = printable(text)
    assert not [
        char for char in shown if ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029\u202e\u2066"[:3]
    ]
    if text.isprintable():
        assert shown == text


@given(text=st.text("ab漢é "), width=st.integers(2, 20))
def test_wrapping_loses_nothing_and_fits(text: str, width: int) -> None:
    pieces = wrapped(text, width)
    assert "".join(pieces) == text
    assert all(width_of(piece) <= width for piece in pieces)


def test_colour_only_when_asked() -> None:
    assert (PLAIN("x", RED), Style(True)("x", RED), Style(True)("x", "")) == ("x", "\x1b[31mx\x1b[0m", "x")


def test_a_box_with_a_right_aligned_column() -> None:
    lines = box([Column("n", ["1", "22"], right=True), Column("word", ["a", "b"])])
    assert lines == [
        "┌────┬──────┐",
        "│ n  │ word │",
        "├────┼──────┤",
        "│  1 │ a    │",
        "│ 22 │ b    │",
        "└────┴──────┘",
    ]


def test_long_values_of_facts_go_on_below() -> None:
    assert facts([("path", "/srv/shop/api.py"), ("id", "0")], 21) == [
        "┌──────┬────────────┐",
        "│ path │ /srv/shop/ │",
        "│      │ api.py     │",
        "│ id   │ 0          │",
        "└──────┴────────────┘",
    ]
