from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem import words
from rota.ecosystem.problems import Wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("  ", ()),
        ("a b  c", ("a", "b", "c")),
        ("a\tb\nc", ("a", "b", "c")),
        ('"a b" c', ("a b", "c")),
        ("'a b' c", ("a b", "c")),
        ('--name="a b" c', ('--name="a b"', "c")),
        ("k='a b'", ("k='a b'",)),
        ("it's a dog's life", ("it's", "a", "dog's", "life")),
        ('"a b"c d', ('"a b"c', "d")),
        ('say "', ("say", '"')),
        ('""', ("",)),
        ("a'b c'd", ("a'b", "c'd")),
        ('--a="1" --b="2 3"', ('--a="1"', '--b="2 3"')),
    ],
)
def test_args_are_split_as_pm2_does(text: str, expected: tuple[str, ...]) -> None:
    assert words.split_args(text) == expected


# Words that PM2's rule can express: no word mixes both quotes, nor is one that begins like a quoted part.
_plain = st.text(st.characters(exclude_characters="\"'", codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)


@given(st.lists(_plain, max_size=6))
def test_args_round_trip(items: list[str]) -> None:
    assert words.split_args(words.join_args(tuple(items))) == tuple(items)


def _essence(text: str) -> str:
    return "".join(char for char in text if not char.isspace() and char not in "\"'")


@given(st.text(max_size=60))
def test_splitting_loses_nothing_but_blanks_and_quotes(text: str) -> None:
    assert _essence("".join(words.split_args(text))) == _essence(text)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python app.py --port 8000", ""),
        ("python 'a; b' \"c | d\"", ""),
        ("echo '$HOME'", ""),
        (r"echo \$HOME \| x", ""),
        ("echo 5$ a$", ""),
        ("a | b", "|"),
        ("a && b", "&&"),
        ("a || b", "||"),
        ("a; b", ";"),
        ("a > out", ">"),
        ("a >> out", ">>"),
        ("a < in", "<"),
        ("echo $PORT", "$PORT"),
        ('echo "$PORT"', "$PORT"),
        ("echo ${PORT}", "${"),
        ("echo $(date)", "$("),
        ("echo `date`", "`"),
        ("(a)", "("),
        ("A=1 python x.py", "A="),
        ("a\nb", "a line break"),
        ("curl http://x/?a=1&b=2", "&"),
        ("curl 'http://x/?a=1&b=2'", ""),
    ],
)
def test_shell_syntax(line: str, found: str) -> None:
    assert words.shell_syntax(line) == found


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=10),
        min_size=1,
        max_size=5,
    )
)
def test_a_quoted_line_never_needs_a_shell(items: list[str]) -> None:
    line = shlex.join(items)
    assert words.shell_syntax(line) == ""
    assert words.split_run(line) == tuple(items)


def test_a_line_that_needs_a_shell_says_what_to_do() -> None:
    with pytest.raises(Wrong) as caught:
        words.split_run("a | b")

    assert caught.value.message == "uses shell syntax (|), and rota starts programs without a shell"
    assert caught.value.hint == "add shell = true, or quote it if it is meant literally"


@pytest.mark.parametrize(("line", "message"), [("echo 'a", "no closing quotation"), ("  ", "is empty"), ("''", "")])
def test_lines_that_cannot_be_run(line: str, message: str) -> None:
    if message:
        with pytest.raises(Wrong, match=message):
            words.split_run(line)
    else:
        assert words.split_run(line) == ("",)
