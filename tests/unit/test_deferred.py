"""Modules that are loaded when something is asked of them."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from rota.deferred import DEFERRED


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout


BEGIN = "import sys\nfrom rota.deferred import Deferred, deferring\nwith deferring():\n    "


def test_the_daemon_starts_without_them() -> None:
    """What each of these costs stands between a killed daemon and its apps."""
    code = (
        BEGIN
        + "import rota.daemon.main\nprint([n for n, m in sys.modules.items() if isinstance(m, Deferred) and m.__spec__])"
    )
    assert python(code) in ("[]\n", "['traceback']\n")  # _asyncio of 3.11 asks for traceback.extract_stack at once


@pytest.mark.parametrize(
    "unwanted",
    ["rota.daemon.cluster", "rota.daemon.jobs", "rota.stores.sqlite", "rota.render", "rota.daemon.watch", "zoneinfo"],
)
def test_the_daemon_starts_without_what_only_some_apps_need(unwanted: str) -> None:
    code = BEGIN + f"import rota.daemon.main\nprint({unwanted!r} in sys.modules)"
    assert python(code) == "False\n"


ASKED = {
    "asyncio.sslproto": "SSLProtocol",
    "inspect": "isclass",
    "msgspec.inspect": "type_info",
    "platform": "uname",
    "subprocess": "Popen",
    "textwrap": "dedent",
    "tokenize": "open",
    "traceback": "print_exc",
}


@pytest.mark.parametrize("name", DEFERRED)
def test_the_first_question_loads_the_real_one(name: str) -> None:
    """Whoever holds the stand-in, and whoever imports it later, have the same."""
    word = ASKED[name]
    code = (
        BEGIN
        + f"import {name} as early\nfound = early.{word}\nimport importlib; late = importlib.import_module('{name}')\n"
    )
    assert python(code + f"print(isinstance(late, Deferred), found is late.{word})") == "False True\n"


def test_an_unknown_attribute_is_an_error_as_ever() -> None:
    code = (
        BEGIN
        + "import inspect\ntry: inspect.nothing\nexcept AttributeError as error: print('no', inspect.isclass(int))"
    )
    assert python(code) == "no True\n"


def test_what_was_done_without_can_be_had_afterwards() -> None:
    assert python(BEGIN + "import msgspec\nimport ssl\nprint(ssl.__name__)") == "ssl\n"


def test_a_module_that_is_there_already_stays() -> None:
    code = "import sys, inspect\nfrom rota.deferred import deferring\nwith deferring(): import inspect as again\n"
    assert python(code + "print(again is inspect, again.isclass(int))") == "True True\n"


@pytest.mark.parametrize("doc", ["", "one line", "  \tindented\tand more  ", "two\n    lines\n\n  here\n"])
def test_help_texts_come_out_as_from_the_real_one(doc: str) -> None:
    code = BEGIN + f"import click\nimport inspect as early\nprint(repr(early.cleandoc({doc!r})))"
    assert python(code) == f"{inspect.cleandoc(doc)!r}\n"
    loaded = BEGIN + f"import inspect\ninspect.cleandoc({doc!r})\nprint(inspect.__spec__ is not None)"
    assert python(loaded) == f"{chr(10) in doc}\n"


def test_signal_handlers_of_asyncio_do_without() -> None:
    """The real inspect's answers for functions, methods, partial ones and what is none, without loading it."""
    code = (
        BEGIN
        + "import asyncio, inspect\nfrom functools import partial\n"
        + "class C:\n    async def a(self): ...\n    def s(self): ...\n"
        + "async def a(): ...\ndef s(): ...\nasync def g(): yield\n"
        + "given = [a, s, g, C().a, C().s, partial(a), partial(partial(s)), partial(C().a), print, C, None]\n"
        + "early = [asyncio.iscoroutinefunction(each) for each in given]\nloaded = inspect.__spec__ is not None\n"
        + "inspect.isclass\nprint(loaded, early == [inspect.iscoroutinefunction(each) for each in given], sum(early))"
    )
    assert python(code) == "False True 4\n"
