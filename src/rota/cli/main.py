"""The full command line, on click. What there is stands in `verb_table`; a verb is parsed here and done in its module.

Contents: `main` (arrange, run, explain errors) - `arranged` (PM2's freedoms of order) - `Verbs` (the lazy group, help).
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

import click
from click.shell_completion import CompletionItem

from rota.cli import fast, verb_table
from rota.cli.session import Session
from rota.ecosystem.options import option_table
from rota.errors import RotaError, UsageError
from rota.suggest import suggestion
from rota.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_VALUED_ELSEWHERE = frozenset(
    ("--lines", "-u", "--user", "--hp", "--service-name", "--port", "--since", "--until", "--grep")
)
"""Flags outside `option_table` that take a value: the word after one is neither a verb nor a global flag."""


def main(argv: Sequence[str]) -> int:
    """Run a command line (without the program's name); return the exit code."""
    line = arranged(argv)
    session = Session(silent=line.silent, colourless=line.colourless, rest=line.rest)
    try:
        _refuse_bytes(argv)
        result = _group().main(list(line.words), "rota", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return (result if isinstance(result, int) else 0) or session.code
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 1
    except click.ClickException as error:
        return _explain(session, _as_ours(error))
    except RotaError as error:
        return _explain(session, error)
    except click.Abort:
        return fast.INTERRUPTED


def _refuse_bytes(argv: Sequence[str]) -> None:
    for word in argv:
        if not fast.is_text(word):
            shown = ascii(os.fsencode(word))[1:]
            raise UsageError(
                f"not UTF-8 text: {shown}", "rota takes text only: rename it, or let a script hold the bytes"
            )


def _explain(session: Session, error: RotaError) -> int:
    session.say(str(error), "error")
    return fast.exit_code(error.exit_code)


def _as_ours(error: click.ClickException) -> UsageError:
    match error:
        case click.NoSuchOption(option_name=name, ctx=context):
            known = [flag for param in context.command.get_params(context) for flag in param.opts] if context else []
            near = "" if name == "--port" else suggestion(name, known)  # meant for the app, not a slip of --sort
            hint = near or _where_else(context.info_name or "") if context else ""
            return UsageError(f"unknown option `{name}'", hint)
        case click.MissingParameter(param=param, ctx=context) if param is not None:
            usage = f"rota {context.command.get_usage(context).removeprefix('Usage: rota ')}" if context else ""
            return UsageError(f"missing required argument `{(param.name or '').lower()}'", usage)
        case click.BadParameter(param=param, message=message) if param is not None:
            words = message.replace("valid integer range", "whole number").replace("valid integer", "whole number")
            words = words.replace("is not in the range x>=", "is below ")
            return UsageError(f"{(param.metavar or param.opts[-1])}: {words.rstrip('.')}")
        case _:
            return UsageError(_PLAINER.sub(r"Unknown command argument: \1", error.format_message()).rstrip("."))


def _where_else(verb: str) -> str:
    if verb in verb_table.TAKES_REST:
        return f"options of the app itself follow --, as in `rota {verb} ... -- --port 3000`; see `rota {verb} --help`"
    return f"see `rota {verb} --help`"


_PLAINER = re.compile(r"Got unexpected extra arguments? \((.*)\)")


class Line(NamedTuple):
    """A command line in the order that click expects."""

    words: tuple[str, ...]
    rest: tuple[str, ...]
    silent: bool
    colourless: bool


def arranged(argv: Sequence[str]) -> Line:
    """PM2 takes options anywhere before `--`, those of a verb in front of it included: put the verb first."""
    valued = {flag for info in option_table() if info.metavar and not info.optional_value for flag in info.flags}
    valued |= _VALUED_ELSEWHERE
    head, dashes, rest = _split(argv)
    words: list[str] = []
    verb, silent, colourless, after_valued = "", False, False, False
    for word in head:
        if after_valued or word not in ("-s", "--silent", "--no-color"):
            if not verb and not after_valued and not word.startswith("-"):
                verb = word
                words.insert(0, word)
            else:
                words.append(word)
        silent |= not after_valued and word in ("-s", "--silent")
        colourless |= not after_valued and word == "--no-color"
        after_valued = not after_valued and word in valued
    if verb == "help":
        words = [*words[1:], "--help"]
    if dashes and verb not in verb_table.TAKES_REST:
        return Line((*words, "--", *rest), (), silent, colourless)
    return Line(tuple(words), rest, silent, colourless)


def _split(argv: Sequence[str]) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
    if "--" not in argv:
        return tuple(argv), False, ()
    at = list(argv).index("--")
    return tuple(argv[:at]), True, tuple(argv[at + 1 :])


_OWN_FIELDS = frozenset(
    (
        *("args", "daemon", "attach", "wait", "module", "nice", "env_file", "min_uptime", "stop_signal"),
        *("every", "tz", "timeout", "overlap", "retries", "missed"),
    )
)
"""Options that PM2 does not have, or that nobody gives for nothing."""


def _without_strangers(session: Session, verb: str, command: click.Command, words: list[str]) -> list[str]:
    """PM2 takes the options of `start` with every verb: one that means nothing to this verb is named and left out."""
    own = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    # `logs --error api` asks for --err, and must not take the app for a file.
    refused = _OWN_FIELDS | {"output", "error", "log"} if "--err" in own else _OWN_FIELDS
    strangers = {flag: info for info in option_table() if info.field not in refused for flag in info.flags}
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, equals, _ = word.partition("=")
        if word == "--":
            return [*kept, word, *rest]
        if flag in own or flag not in strangers:
            kept.append(word)
            continue
        session.warn(f"{flag} has no effect on `{verb}`")
        if strangers[flag].metavar and not strangers[flag].optional_value and not equals:
            next(rest, "")
    return kept


class Verbs(click.Group):
    """All verbs, each imported when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb.name for _, verbs in verb_table.SECTIONS for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = verb_table.BY_NAME.get(cmd_name)
        if verb is None:
            return None
        from importlib import import_module

        module = import_module(f"rota.cli.verbs.{verb.module}")
        command: click.Command = getattr(module, verb.name.lower().replace("-", "_") + "_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            hint = verb_table.ABSENT.get(name) or suggestion(name, verb_table.BY_NAME) or "see `rota --help`"
            raise UsageError(f"Command not found: {name}", hint)
        if command is None or ctx.resilient_parsing or name in verb_table.NO_STRANGERS:
            return name, command, args[1:]
        return name, command, _without_strangers(ctx.obj, name, command, args[1:])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs from the table: click would import every module to ask for its help."""
        verbs = [verb for _, group in verb_table.SECTIONS for verb in group]
        found = [CompletionItem(verb.name, help=verb.help) for verb in verbs if verb.name.startswith(incomplete)]
        return found or super(click.Group, self).shell_complete(ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_overview(formatter.width))


def _overview(width: int) -> str:
    lines = [
        "rota keeps services running and scheduled work on time.",
        "",
        "Usage: rota VERB [OPTIONS] [-- ARGUMENTS]",
        "",
    ]
    for title, verbs in verb_table.SECTIONS:
        lines.append(f"{title}:")
        for verb in verbs:
            names = ", ".join((verb.name, *verb.aliases))
            lines.append(f"  {names:<27} {verb.help}" if len(names) <= 27 else f"  {names}\n{'':<30}{verb.help}")
        lines.append("")
    lines += [
        "A target is an id, a name, a namespace, all, a /regular expression/, a script or an ecosystem file.",
        "Everywhere: -s, --silent (data only)   --no-color   -h, --help   -v, --version",
        "`rota VERB --help` says what a verb takes.",
        "",
    ]
    return "\n".join(lines)


def _group() -> Verbs:
    @click.group(
        "rota",
        cls=Verbs,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.version_option(__version__, "-v", "-V", "--version", message="%(version)s")
    @click.pass_context
    def group(context: click.Context) -> int:
        if context.invoked_subcommand is None:
            session: Session = context.obj
            if not session.silent:
                click.echo(context.get_help())
            return 1
        return 0

    return group
