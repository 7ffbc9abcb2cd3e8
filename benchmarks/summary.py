"""The figures that matter, picked from what the benchmarks wrote: one row each, with its target, and why a peer has none."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench_processes import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TOOLS = ("raw", "rota", "PM2", "supervisord", "circus")
Values = dict[str, list[float]]
NO_DAEMON = "there is no supervisor"
NO_CRON = "has no scheduler"


@dataclass
class Row:
    """One figure of all tools.

    Args:
        name: what it is, with its unit.
        values: by tool.
        target: in words.
        met: from the medians, whether rota meets the target; None when that cannot be told.
        less_is_better: for the plot.
        pictured: whether it belongs into the plot.
        reasons: by tool, why it has no value.
        absent: by tool, what stands where there is none; else a dash.
    """

    name: str
    values: Values
    target: str = ""
    met: bool | None = None
    less_is_better: bool = True
    pictured: bool = True
    absent: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def median(self, tool: str) -> float | None:
        found = self.values.get(tool)
        return statistics.median(found) if found else None


def rows(figures: Mapping[str, Any]) -> list[Row]:
    """The rows that can be told from these results, by benchmark."""
    return [
        *_processes(figures.get("processes") or {}),
        *_survival(figures.get("survival") or {}),
        *_cron(figures.get("cron") or {}),
        *_cluster(figures.get("cluster") or []),
    ]


def _row(
    name: str, values: Values, target: str, meets: Callable[[Row], bool | None], reasons: Mapping[str, str], **more: Any
) -> Row:
    row = Row(name, {tool: found for tool, found in values.items() if found}, target, reasons=dict(reasons), **more)
    if row.median("rota") is not None:
        row.met = meets(row)
    return row


def _below(limit: float) -> Callable[[Row], bool | None]:
    return lambda row: (row.median("rota") or 0.0) < limit


def _above(limit: float) -> Callable[[Row], bool | None]:
    return lambda row: (row.median("rota") or 0.0) > limit


def _times_raw(factor: float) -> Callable[[Row], bool | None]:
    def meets(row: Row) -> bool | None:
        raw, ours = row.median("raw"), row.median("rota")
        return None if raw is None or ours is None else ours <= factor * raw

    return meets


def _twice_pm2(row: Row) -> bool | None:
    ours, theirs = row.median("rota"), row.median("PM2")
    return None if ours is None or theirs is None else ours >= 2 * theirs


def _untold(row: Row) -> bool | None:
    return None


def _processes(found: Mapping[str, Any]) -> Iterable[Row]:
    sizes: dict[str, dict[str, Values]] = found.get("sizes", {})
    told: dict[str, dict[str, str]] = found.get("reasons", {})
    for number, (size, columns) in enumerate(sizes.items()):
        reasons = {name.rpartition(", ")[2]: why for name, why in told.items() if name.startswith(f"{size} ")}

        def of(figure: str, columns: dict[str, Values] = columns) -> Values:
            return {tool: columns.get(tool, {}).get(figure, []) for tool in TOOLS}

        def why(figure: str, reasons: dict[str, dict[str, str]] = reasons) -> dict[str, str]:
            dead = {
                tool: text for tool, one in reasons.items() for text in [one.get(figure) or one.get("start")] if text
            }
            return {"raw": NO_DAEMON, **dead}

        some = f"{size} processes"
        seen = {"pictured": number in (0, len(sizes) - 1)}
        start = ("at most 2.5 × raw", _times_raw(2.5))
        yield _row(f"start {some}, s", of("start"), *start, why("start"), **seen)
        listed = ("under 0.035", _below(0.035)) if number == 0 else ("", _untold)
        yield _row(f"list with {some}, s", of("list"), *listed, why("list"), **seen)
        yield _row(f"stop all {some}, s", of("stop"), "", _untold, why("stop"), **seen)
        memory = ("under 22", _below(22)) if number == 0 else ("", _untold)
        yield _row(f"daemon memory with {some}, MB PSS", of("PSS MB"), *memory, why("PSS MB"), **seen)
        limit = 0.1 if int(size) <= 50 else 1.0
        idle = (f"under {limit:g}", _below(limit))
        yield _row(f"idle CPU with {some}, %", of("idle CPU %"), *idle, why("idle CPU %"), **seen)
        if number == 0:
            crash = "crash to replacement ms"
            yield _row("crash to replacement's first step, ms", of(crash), "under 2", _below(2), why(crash))
            flood = ("over 1.3", _above(1.3))
            yield _row("log flood, GB/s", of("flood GB/s"), *flood, why("flood GB/s"), less_is_better=False)
            cost = "flood CPU s/GB"
            yield _row("log flood, CPU s/GB", of(cost), "under 0.6", _below(0.6), why("flood GB/s"))
            bare = {"raw": _ms(of("import")["raw"]), "rota": _ms(of("import")["rota"])}
            yield _row(
                "`import rota` (raw: an interpreter), ms", bare, "", _untold, _none("no library"), pictured=False
            )
    yield from _further(sizes)


def _ms(seconds: list[float]) -> list[float]:
    return [value * 1000 for value in seconds]


def _none(reason: str) -> dict[str, str]:
    return dict.fromkeys(TOOLS[2:], reason)


def _further(sizes: Mapping[str, Mapping[str, Values]]) -> Iterable[Row]:
    """Memory of one more process, from the smallest and the largest size."""
    if len(sizes) < 2:
        return
    least, most = min(sizes, key=int), max(sizes, key=int)
    values = {}
    for tool in TOOLS:
        few, many = (sizes[size].get(tool, {}).get("PSS MB") for size in (least, most))
        if few and many:
            grown = statistics.median(many) - statistics.median(few)
            values[tool] = [grown * 1024 / (int(most) - int(least))]
    yield _row("daemon memory per further process, kB", values, "under 10", _below(10), {"raw": NO_DAEMON})


def _survival(found: Mapping[str, Any]) -> Iterable[Row]:
    columns: dict[str, Values] = found.get("tools", {})
    told: dict[str, dict[str, str]] = found.get("reasons", {})
    if not columns:
        return
    targets = {
        "apps surviving %": (
            "daemon SIGKILLed: apps surviving, %",
            "all",
            lambda row: row.median("rota") == 100,
            False,
        ),
        "lines lost": ("daemon SIGKILLed: lines lost", "0", lambda row: max(row.values["rota"]) == 0, True),
        "supervised again ms": ("daemon SIGKILLed: supervised again in, ms", "under 200", _below(200), True),
    }
    for figure, (name, target, meets, less) in targets.items():
        values = {tool: one.get(figure, []) for tool, one in columns.items()}
        reasons = {tool: one.get(figure) or next(iter(one.values()), "") for tool, one in told.items()}
        absent = {tool: "never" for tool, one in told.items() if figure in one and figure == "supervised again ms"}
        reasons = {"raw": NO_DAEMON, **reasons}
        yield _row(name, values, target, meets, reasons, less_is_better=less, absent=absent)


def _cron(found: Mapping[str, Any]) -> Iterable[Row]:
    means = found.get("means", {}).get("UTC")
    if means:
        values = {"rota": [means["rota"]], "PM2": [means["croner"]] if "croner" in means else []}
        reasons = {
            "PM2": "its croner was not there",
            "supervisord": NO_CRON,
            "circus": NO_CRON,
            "raw": "a scheduler's figure",
        }
        yield _row("next due time of a cron expression, µs", values, "under 8", _below(8), reasons)


def _cluster(found: list[dict[str, Any]]) -> Iterable[Row]:
    node = {one["tool"]: one for one in found if one["server"] == "node"}
    if "rota" not in node:
        return
    names = {"alone": "raw", "rota": "rota", "pm2": "PM2"}
    reasons = {"raw": "reloads nothing", **dict.fromkeys(TOOLS[3:], "shares no port among unmodified servers")}
    failed = {
        names[tool]: [float(sum(sum(kind["failed"].values()) for kind in one["failures"].values()))]
        for tool, one in node.items()
        if one["failures"]
    }
    ours = lambda row: row.median("rota") == 0  # noqa: E731
    yield _row("Node cluster: requests failed in reloads", failed, "0", ours, reasons)
    fresh = {names[tool]: one["close"] for tool, one in node.items()}
    missing = reasons | {"raw": "wrk is not installed", "rota": "wrk is not installed", "PM2": "wrk is not installed"}
    name = "Node cluster: new connections/s (raw: alone)"
    yield _row(name, fresh, "2 x PM2", _twice_pm2, missing, less_is_better=False)
    speed = {names[tool]: one["keep"] for tool, one in node.items()}
    name = "Node cluster: requests/s (raw: alone)"
    yield _row(name, speed, "", _untold, missing, less_is_better=False)


def table(found: list[Row]) -> str:
    """Markdown; a "–" has a number, and the reasons follow below."""
    notes: dict[str, int] = {}
    lines = [f"| figure | {' | '.join(TOOLS)} | target | |", "|---|" + "---:|" * len(TOOLS) + "---|---|"]
    for row in found:
        cells = []
        for tool in TOOLS:
            cell = shown(row.values.get(tool, []))
            reason = row.reasons.get(tool, "was not there") if cell == "–" else ""
            if reason:
                cell = f"{row.absent.get(tool, '–')} [{notes.setdefault(reason, len(notes) + 1)}]"
            cells.append(f"**{cell}**" if tool == "rota" else cell)
        verdict = "" if row.met is None else "met" if row.met else "**missed**"
        lines.append(f"| {row.name} | {' | '.join(cells)} | {row.target} | {verdict} |")
    below = "\n".join(f"{number}. {reason}" for reason, number in notes.items())
    return "\n".join(lines) + (f"\n\nWhy there is a –:\n\n{below}" if notes else "")
