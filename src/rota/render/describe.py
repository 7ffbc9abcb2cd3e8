"""`rota describe`: everything about one instance; PM2's rows first, in its order, then what PM2 does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rota.process.spec import LogSpec  # noqa: TC001 - msgspec resolves annotations at run time
from rota.render.describe_rows import our_rows, pm2_rows
from rota.render.human import bytes_word, percent, plural
from rota.render.job_list import state_word
from rota.render.reason import reason
from rota.render.table import Column, box, facts
from rota.render.text import BOLD, INVERSE, PLAIN, RED, YELLOW, cut, printable

if TYPE_CHECKING:
    from datetime import tzinfo

    from rota.process.record import Record
    from rota.render.text import Style

WIDTH = 300


class TreeProcess(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process of an instance's tree; `depth` 0 is the main process."""

    pid: int
    command: str
    depth: int = 0
    memory: int = 0
    cpu: float = 0.0


class Findings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What describe looks up beyond the record. What was not looked up is empty and not shown."""

    tree: tuple[TreeProcess, ...] = ()
    """In the order to show, parents before children."""
    port: str = ""
    """Who holds a port the app could not get: `port 8000 is held by nginx (pid 312)`."""
    unwritable: tuple[str, ...] = ()
    """A sentence for each of its log files that cannot be written."""
    out_lines: tuple[str, ...] = ()
    error_lines: tuple[str, ...] = ()
    """The last lines of the logs."""
    logs: LogSpec | None = None
    """Log settings with the home's defaults filled in; None: as the app's file has them."""
    divergent: dict[str, str] | None = None
    """Variables the app has with another value than the caller's shell, or alone; None when nobody asked."""


NOTHING_FOUND = Findings()


def describe(
    record: Record,
    findings: Findings = NOTHING_FOUND,
    *,
    width: int = WIDTH,
    style: Style = PLAIN,
    now: float = 0.0,
    zone: tzinfo | None = None,
    show_env: bool = False,
) -> str:
    """The whole page for one record, without a final newline.

    Args:
        record: the instance.
        findings: what was looked up for it.
        width: columns of the terminal; longer values go on in the next line.
        style: colour or none.
        now: wall clock, seconds; 0 means the time the record was taken.
        zone: where instants are shown; None means the zone of this machine.
        show_env: show the values of divergent variables, not only their names.
    """
    name = printable(record.spec.name)
    lines = [style(f" Describing process with id {record.instance.id} - name {name} ", INVERSE)]
    lines += _state(record, findings, style, now, zone)
    rows = [*pm2_rows(record, now), *our_rows(record, findings.logs or record.spec.logs, now, zone)]
    lines += facts(rows, width, style)
    lines += _tree(findings.tree, width, style)
    lines += _actions(record, width, style) + _metrics(record, width, style)
    lines += _tail("error", record.error_path, findings.error_lines, style)
    lines += _tail("out", record.out_path, findings.out_lines, style)
    if findings.divergent is not None:
        lines += _divergent(findings.divergent, width, style, show_env)
    lines += [
        "",
        f" Use `rota logs {name} [--lines 1000]` to display logs",
        f" Use `rota env {record.instance.id}` to display environment variables",
        f" Use `rota why {name}` to see what happened to it, and why",
    ]
    return "\n".join(lines)


def _state(record: Record, findings: Findings, style: Style, now: float, zone: tzinfo | None) -> list[str]:
    word = state_word(record, now)
    if record.spec.job:
        word = word.partition(" ")[0]  # how long it has been running follows
    code = RED if word == "errored" else ""
    lines = [f" {style(word, code or BOLD)}: {printable(reason(record, now, zone))}"]
    lines += [" " + style(printable(line), YELLOW) for line in (findings.port, *findings.unwritable) if line]
    return lines


def _tree(tree: tuple[TreeProcess, ...], width: int, style: Style) -> list[str]:
    if len(tree) < 2:
        return []
    command = Column("command", ["  " * one.depth + printable(one.command) for one in tree])
    columns = [
        Column("pid", [str(one.pid) for one in tree]),
        Column("cpu", [percent(one.cpu) for one in tree]),
        Column("mem", [bytes_word(one.memory) for one in tree]),
    ]
    room = width - sum(column.width for column in columns) - len(columns) - 2
    command.width = max(min(command.width, room), 12)
    return [
        style(f" Process tree: {plural(len(tree), 'process', 'processes')} ", INVERSE),
        *box([*columns, command], style),
    ]


def _actions(record: Record, width: int, style: Style) -> list[str]:
    names = [_text(action.get("action_name")) for action in record.actions]
    names = [name for name in names if name]
    if not names:
        return []
    shown = Column("", names)
    shown.width = min(shown.width, width - 2)
    return [
        style(" Actions available ", INVERSE),
        *box([shown], style, head=False),
        f" Trigger via: rota trigger {printable(record.spec.name)} <action_name>",
        "",
    ]


def _metrics(record: Record, width: int, style: Style) -> list[str]:
    if not record.metrics:
        return []
    pairs = [(printable(name), f"{metric.value} {metric.unit}".rstrip()) for name, metric in record.metrics.items()]
    return [style(" Code metrics value ", INVERSE), *facts(pairs, width, style)]


def _tail(stream: str, path: str, lines: tuple[str, ...], style: Style) -> list[str]:
    if not lines:
        return []
    title = style(f" Last {plural(len(lines), 'line')} of the {stream} log ", INVERSE)
    return [f"{title} {printable(path)}", *(f"  {cut(printable(line), 2000)}" for line in lines)]


def _divergent(env: dict[str, str], width: int, style: Style, show_env: bool) -> list[str]:
    title = style(" Divergent env variables from local env ", INVERSE)
    if not env:
        return [title, " none"]
    if show_env:
        return [title, *facts([(printable(key), printable(value)) for key, value in env.items()], width, style)]
    lines: list[str] = []
    for key in map(printable, sorted(env)):
        if lines and len(lines[-1]) + len(key) + 2 < min(width, 120):
            lines[-1] += f", {key}"
        else:
            lines.append(f" {key}")
    return [title, *lines]


def _text(raw: msgspec.Raw | None) -> str:
    """The string in a piece of JSON, "" for anything else."""
    if raw is None:
        return ""
    value = msgspec.json.decode(raw)
    return printable(value) if isinstance(value, str) else ""
