"""util.inspect's layout: against node where it is installed, and against written-down outputs everywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.process.record import Usage
from rota.process.state import Down
from rota.render.inspect import inspect, js_number, prettylist, units
from rota.render.jlist import jlist

from .golden import same_as
from .records import app, job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NODE = shutil.which("node")
ASK = """
const {inspect} = require('util');
let rest = '';
process.stdin.on('data', chunk => {
  const lines = (rest + chunk).split('\\n');
  rest = lines.pop();
  for (const line of lines)
    console.log(JSON.stringify(inspect(JSON.parse(line), {depth: null, breakLength: 80, compact: 3})));
});
"""


@pytest.fixture(scope="module")
def node() -> Iterator[Callable[[Any], str]]:
    """Node's own answer, from one process for all questions."""
    if NODE is None:
        pytest.skip("node is not installed")
    process = subprocess.Popen([NODE, "-e", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout

    def ask(value: Any) -> str:
        process.stdin.write(json.dumps(value) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert isinstance(answer, str)
        return answer

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


# What appears in records and what tends to break layouts: quotes, newlines, wide and astral characters, escapes.
characters = st.sampled_from("ab'\"`${}\\\n\t\x00\x1b\x7f\x9fé漢😀\u0301\u2028 ")
texts = st.text(characters, max_size=30) | st.text("abc \n'\"", max_size=120) | st.text("abc-_0", max_size=24)
keys = st.text("abc_$0-9 '", max_size=12) | st.sampled_from(["__proto__", "0", "10", "007", "4294967295", "é"])
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-99, 99)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.lists(numbers, min_size=7, max_size=120)
        | st.lists(texts, min_size=7, max_size=120)
        | st.lists(st.text("abcdef", max_size=9), min_size=6, max_size=40)
        | st.dictionaries(keys, inner, max_size=8)
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_the_layout_is_nodes(node: Callable[[Any], str], value: Any) -> None:
    assert inspect(value) == node(value)


@settings(max_examples=150, deadline=None)
@given(value=numbers)
def test_numbers_are_nodes(node: Callable[[Any], str], value: float) -> None:
    assert js_number(value) == node(value)


@pytest.mark.parametrize("length", [9_998, 10_000, 10_001, 10_005])
def test_long_strings_are_cut_like_nodes(node: Callable[[Any], str], length: int) -> None:
    for text in ("x" * length, "x" * (length - 1) + "😀", "line\n" * (length // 5) + "y" * (length % 5)):
        assert inspect([text]) == node([text])


@pytest.mark.parametrize("count", [6, 7, 100, 101, 102, 250])
def test_long_lists_are_cut_like_nodes(node: Callable[[Any], str], count: int) -> None:
    for items in (list(range(count)), [f"s{n}" for n in range(count)], [{"a": n} for n in range(count)]):
        assert inspect(items) == node(items)


def test_prettylist_is_nodes_inspect_of_jlist(node: Callable[[Any], str]) -> None:
    shown = [app(spec={"args": ("a", "b c"), "env": {"NODE_ENV": "x"}}), job(id=3)]
    assert prettylist(shown, True) == node(json.loads(jlist(shown, True)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ({}, "{}"),
        ([0], "[ 0 ]"),
        (["0"], "[ '0' ]"),
        ({"msg": "pong"}, "{ msg: 'pong' }"),
        ({"Heap Size": {}}, "{ 'Heap Size': {} }"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "[\n  0, 1, 2, 3,\n  4, 5, 6, 7\n]"),
        ([1, 22, 333, 4, 5, 6, 7], "[\n  1, 22, 333, 4,\n  5,  6,   7\n]"),
        (["it's"], '[ "it\'s" ]'),
        (["'\""], "[ `'\"` ]"),
        (["'\"`"], "[ '\\'\"`' ]"),
        (["a\nb\x1b"], "[ 'a\\nb\\x1B' ]"),
        (None, "null"),
        (True, "true"),
        (-0.0, "-0"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1.5e-7, "1.5e-7"),
        (0.000001, "0.000001"),
        (10**400, "Infinity"),
        ({"2": 1, "b": 2, "1": 3}, "{ '1': 3, '2': 1, b: 2 }"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{\n  a: { b: { c: { d: 1 } } }\n}"),
    ],
)
def test_written_down(value: Any, text: str) -> None:
    assert inspect(value) == text


def test_prettylist() -> None:
    records = [app("pyapp", id=2, spec={"args": ("a", "b c")}), job("old", id=3, actual=Down(), usage=Usage())]
    same_as("prettylist.txt", prettylist(records))


def test_prettylist_of_nothing() -> None:
    assert prettylist([]) == "[]"


@given(value=st.recursive(st.integers() | st.text("abc"), lambda inner: st.lists(inner, max_size=9), max_leaves=30))
def test_a_line_with_brackets_around_it_fits(value: Any) -> None:
    text = inspect(value)
    for line in text.split("\n"):
        if line.lstrip().startswith("[ "):
            assert units(line.rstrip(",")) <= 80


@given(value=values)
def test_braces_match_indentation(value: Any) -> None:
    lines = [line for line in inspect({"v": value}).split("\n") if not line.lstrip().startswith(("'", '"', "`"))]
    assert lines[0].startswith("{")
    assert lines[-1].endswith("}")
    assert all((len(line) - len(line.lstrip(" "))) % 2 == 0 for line in lines if line.strip() in ("]", "}", "],", "},"))
