"""`rota check`: findings, worst first, and the arithmetic of budgets as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.human import plural
from rota.render.table import Column, box, total_width
from rota.render.text import BOLD, DIM, GREEN, RED, YELLOW, Style, printable, wrapped
from rota.timing.duration import format_duration

if TYPE_CHECKING:
    from rota.jobs.audit import Audit, BudgetUse, Caller, Finding

_CODES = {"error": RED, "warning": YELLOW, "info": DIM}
_LABEL = 9


def audit_report(path: str, audit: Audit, width: int = 120, colour: bool = False) -> str:
    """Everything that was found in one file, without a final newline."""
    style = Style(colour)
    lines = [style(printable(path), BOLD)]
    for finding in audit.findings:
        lines += _finding(finding, width, style)
    if audit.budgets:
        lines += ["", *_budgets(audit.budgets, width, style)]
    return "\n".join([*lines, "", _verdict(audit, style), ""])


def _finding(finding: Finding, width: int, style: Style) -> list[str]:
    text = printable(f"{finding.where}: {finding.message}" if finding.where else finding.message)
    room = max(width - _LABEL - 2, 30)
    first, *rest = wrapped(text, room)
    lines = [f"  {style(finding.level.ljust(_LABEL - 1), _CODES[finding.level])} {first}".rstrip()]
    lines += [" " * (_LABEL + 2) + more for more in rest]
    if finding.hint:
        lines += [style(" " * (_LABEL + 2) + more, DIM) for more in wrapped(f"→ {printable(finding.hint)}", room)]
    return lines


def _budgets(uses: tuple[BudgetUse, ...], width: int, style: Style) -> list[str]:
    rows: list[tuple[str, str, str, str, str, str]] = []
    for use in uses:
        per = format_duration(use.per)
        verdict = f"{use.worst:g} of {use.limit:g} per {per}"
        code = RED if use.overdrawn else GREEN
        for number, caller in enumerate(use.callers or ()):
            rows.append((use.name if not number else "", *_caller(caller, per), "", ""))
        total = "asked for in the worst case" if use.callers else "nobody takes from it"
        rows.append(("" if use.callers else use.name, total, "", "", verdict, code))
    columns = [
        Column("budget", [row[0] for row in rows]),
        Column("caller", [row[1] for row in rows]),
        Column("takes", [row[2] for row in rows]),
        Column("at most", [row[3] for row in rows]),
        Column("in all", [row[4] for row in rows], 0, [row[5] for row in rows]),
    ]
    excess = total_width(columns) - width
    if excess > 0:
        columns[1].width = max(columns[1].width - excess, 12)
    return box(columns, style)


def _caller(caller: Caller, per: str) -> tuple[str, str, str]:
    every = f"{caller.cost:g} every {format_duration(caller.every)}" if caller.every else f"{caller.cost:g} a run"
    copies = f" in each of {caller.copies}" if caller.copies > 1 else ""
    who = f"{caller.job} (its own calls)" if caller.own else caller.job
    return who, every + copies, f"{caller.worst:g} per {per}"


def _verdict(audit: Audit, style: Style) -> str:
    errors, warnings = audit.count("error"), audit.count("warning")
    if errors:
        return style(f"{plural(errors, 'error')}, {plural(warnings, 'warning')}: this will not work as it stands", RED)
    if warnings:
        return style(f"{plural(warnings, 'warning')}, no errors", YELLOW)
    return style("nothing to mend", GREEN)
