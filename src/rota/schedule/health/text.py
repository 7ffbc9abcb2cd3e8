"""Health for people: a table in plain text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.timing.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

_ORDER = ("STALLED", "FAILING", "NEVER_RUN", "PAUSED", "HEALTHY")


def cron_table(body: dict[str, Any]) -> str:
    """`/health/cron` as a table, the worst first."""
    rows = [("SERVICE", "STATUS", "LAST RUN", "AGE")]
    found = sorted(body["services"], key=lambda service: (_ORDER.index(service["status"]), service["service"]))
    rows += [(s["service"], s["status"], s["last_run"] or "never", _age(s["age_seconds"])) for s in found]
    lines = _aligned(rows)
    if not body["services"]:
        lines = ["no jobs are known"]
    if body["budgets"]:
        lines += ["", *_aligned([("BUDGET", "TOKENS", "CAPACITY"), *_budget_rows(body["budgets"])])]
    return "\n".join(lines)


def service_text(body: dict[str, Any]) -> str:
    """`/health/cron/{service}` as lines."""
    facts = [(key.replace("_", " "), value) for key, value in body.items() if not isinstance(value, list | dict)]
    lines = _aligned([(key, "-" if value in (None, "") else str(value)) for key, value in facts])
    runs = [*body.get("running", ()), *body.get("recent_runs", ())]
    if runs:
        rows = [("RUN", "DUE", "STARTED", "TOOK", "OUTCOME", "NOTE"), *(_run_row(run) for run in runs)]
        lines += ["", *_aligned(rows)]
    return "\n".join(lines)


def _run_row(run: dict[str, Any]) -> tuple[str, ...]:
    took = "" if run["duration_seconds"] is None else f"{run['duration_seconds']:.3g} s"
    note = run["error"] or run["note"] or ""
    if "progress" in run:
        note = f"{run['progress']['done']}/{run['progress']['total'] or '?'} {note}".strip()
    return (str(run["id"]), run["due"] or "-", run["started"] or "-", took, str(run["outcome"] or run["state"]), note)


def _budget_rows(budgets: dict[str, dict[str, float]]) -> list[tuple[str, str, str]]:
    return [(name, f"{level['tokens']:g}", f"{level['capacity']:g}") for name, level in budgets.items()]


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(round(seconds))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
