"""Log lines: registration, start, completion and failure of each job, for people and as JSON."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from rota import Run, Scheduler
from rota.schedule import logs
from rota.testing import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append  # type: ignore[method-assign]
    logger, level = logs.logger, logs.logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def simulated(records: list[logging.LogRecord]) -> list[logging.LogRecord]:
    rota = Scheduler("memory://", name="shop")

    @rota.every("1m", retries=1, retry_backoff="5s")
    def shaky(run: Run) -> None:
        run.log.info("working")
        raise ValueError("no luck")

    rota.every("1m", lambda: None, name="good")
    with Simulation(rota, "2026-01-01") as simulation:
        simulation.run_for("65s")
    return records


def test_every_step_has_its_line(simulated: list[logging.LogRecord]) -> None:
    events = [(record.rota["event"], record.rota["job"]) for record in simulated if hasattr(record, "rota")]
    assert events == [
        ("registered", "shaky"), ("registered", "good"), ("started", "shaky"), ("started", "good"), ("retrying", "shaky"),
        ("completed", "good"), ("started", "shaky"), ("failed", "shaky"),
    ]  # fmt: skip


def test_lines_for_people(simulated: list[logging.LogRecord]) -> None:
    lines = [logs.HumanFormatter().format(record) for record in simulated]
    assert lines[0].endswith("info    shaky registered every 1m, next 2026-01-01 00:01:00Z")
    assert any("started run 1, due 2026-01-01 00:01:00Z" in line for line in lines)
    failed = next(line for line in lines if "shaky failed" in line)
    assert "error   shaky failed in 0 ms, run 1, due 2026-01-01 00:01:00Z: ValueError: no luck" in failed
    assert "test_logs.py" in failed
    assert "rota/schedule" not in failed
    assert any(line.endswith("shaky: working") for line in lines)


def test_lines_as_json(simulated: list[logging.LogRecord]) -> None:
    lines = [json.loads(logs.JsonFormatter().format(record)) for record in simulated]
    failed = next(line for line in lines if line.get("event") == "failed")
    assert (failed["job"], failed["run"], failed["level"], failed["attempt"]) == ("shaky", 1, "error", 2)
    assert (failed["due"], failed["outcome"], failed["error"]) == (
        "2026-01-01T00:01:00Z",
        "failed",
        "ValueError: no luck",
    )
    assert "raise ValueError" in failed["traceback"]
    started = next(line for line in lines if line.get("event") == "started")
    assert started["trigger"] == "cron"
    assert set(lines[0]) >= {"time", "level", "message", "event", "job"}


def test_any_formatter_prints_the_traceback(simulated: list[logging.LogRecord]) -> None:
    failed = next(record for record in simulated if getattr(record, "rota", {}).get("event") == "failed")
    assert "ValueError: no luck" in logging.Formatter().format(failed).splitlines()[-1]


def test_configured_lines_go_to_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    rota = Scheduler("memory://", name="shop", log="json")
    rota.job(lambda: None, name="work")
    with rota:
        rota.trigger("work").wait("5s")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["registered", "started", "completed"]
    assert logs.logger.handlers == []
