"""The table of contents keeps its promises."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from rota.cli import fast, verb_table
from rota.cli.main import _group
from rota.cli.options import lifecycle_options
from rota.ecosystem.options import CliOptions, option_table

NAMES = sorted(verb_table.BY_NAME)


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_is_there_and_explains_itself(name: str) -> None:
    group = _group()
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.help
    assert command.get_help(click.Context(command, info_name=name))


def test_names_are_used_once() -> None:
    names = [name for _, verbs in verb_table.SECTIONS for verb in verbs for name in (verb.name, *verb.aliases)]
    assert len(names) == len(set(names))
    assert not set(names) & set(verb_table.ABSENT)
    assert set(names) >= verb_table.NO_STRANGERS


ROOT = Path(__file__).parents[3]
TEXTS = [ROOT / "README.md", ROOT / "demo", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
TEXTS += [path for path in ROOT.glob("src/**/*.py") if "torture" not in path.parts]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_name_only_verbs_there_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|[$] |&& )rota ([a-z][A-Za-z:-]*)", text))
    for block in re.findall(r"```\n(.*?)```", text, re.S):
        named |= set(re.findall(r"^(?:[$] )?rota ([a-z][A-Za-z:-]*)", block, re.M))
    assert named <= {*NAMES, "daemon"}


def test_the_fast_path_serves_only_verbs_there_are() -> None:
    assert set(fast.VERBS) <= set(names := NAMES)
    assert set(names) >= verb_table.TAKES_REST


def test_every_option_reaches_its_field() -> None:
    seen: list[CliOptions] = []

    @click.command()
    @lifecycle_options()
    def verb(session: object, options: CliOptions) -> int:
        seen.append(options)
        return 0

    class Session:
        def __init__(self) -> None:
            self.rest: tuple[str, ...] = ()
            self.ignored: list[str] = []

        def say(self, text: str, level: str) -> None:
            raise AssertionError(text)

    for info in option_table():
        if info.flags == ("--",) or info.field == "ignored":
            continue
        for flag in info.flags:
            words = [flag, "value"] if info.metavar else [flag]
            verb.main(words, standalone_mode=False, obj=Session())
            value = getattr(seen[-1], info.field)
            expected: object = ("value",) if info.repeat else "value" if info.metavar else not info.negative
            assert value == expected, flag
            others = [name for name in CliOptions.__struct_fields__ if getattr(seen[-1], name) is not None]
            assert others == [info.field]
        if info.optional_value:
            verb.main([info.flags[-1]], standalone_mode=False, obj=Session())
            assert getattr(seen[-1], info.field) is True


def test_words_after_the_dashes_are_arguments() -> None:
    @click.command()
    @lifecycle_options("name")
    def verb(session: object, options: CliOptions) -> int:
        assert options == CliOptions(name="x", args=("-a", "b"))
        return 7

    class Session:
        rest = ("-a", "b")
        ignored: tuple[str, ...] = ()

    assert verb.main(["-n", "x"], standalone_mode=False, obj=Session()) == 7
