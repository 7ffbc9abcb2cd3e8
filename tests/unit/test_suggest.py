"""What was probably meant, and when to keep quiet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.suggest import did_you_mean, slips, suggest

KNOWN = ["api", "worker", "treasury-snapshot", "API-v2", "db"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aip", "api"),
        ("apii", "api"),
        ("API", "api"),
        ("wroker", "worker"),
        ("work", "worker"),
        ("treasury", "treasury-snapshot"),
        ("treasury-snpashto", "treasury-snapshot"),
        ("bd", "db"),
        ("snapshot", "treasury-snapshot"),
        ("d", "db"),
        ("scraper", None),
        ("x", None),
        ("", None),
    ],
)
def test_suggestions(typed: str, meant: str | None) -> None:
    assert suggest(typed, KNOWN) == meant


def test_the_exact_name_wins_over_a_near_one() -> None:
    assert suggest("api", ["apj", "api"]) == "api"


def test_one_letter_is_not_meant_by_another() -> None:
    assert suggest("x", ["a"]) is None


def test_nobody_to_suggest() -> None:
    assert suggest("api", []) is None


def test_as_words() -> None:
    assert did_you_mean("aip", KNOWN) == ' — did you mean "api"?'
    assert did_you_mean("scraper", KNOWN) == ""


words = st.text("abc", max_size=6)


@given(one=words, other=words)
def test_distance_is_symmetric_and_zero_only_for_equals(one: str, other: str) -> None:
    assert slips(one, other, 99) == slips(other, one, 99)
    assert (slips(one, other, 99) == 0) == (one == other)


@given(one=words, other=words, enough=st.integers(1, 8))
def test_a_limit_only_cuts(one: str, other: str, enough: int) -> None:
    assert slips(one, other, enough) == min(slips(one, other, 99), enough)


@given(word=st.text("abc", min_size=2, max_size=6), at=st.integers(0, 4))
def test_one_swap_is_one_slip(word: str, at: int) -> None:
    at = min(at, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    assert slips(word, swapped, 99) == (word != swapped)
