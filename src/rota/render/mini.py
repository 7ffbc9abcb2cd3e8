"""`rota list -m`: a few lines for each process, for narrow screens and grep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.process.state import process_of
from rota.render.human import bytes_word
from rota.render.job_list import next_due, outcome, schedule, state_word
from rota.render.list import sort_records, uptime_text
from rota.render.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from rota.process.record import Record


def mini_list(records: Sequence[Record], sort: str = "", now: float = 0.0, zone: tzinfo | None = None) -> str:
    """Every record as a block of PM2's lines; a job's block says its schedule, its last outcome and when it is next due."""
    return "\n".join(line for record in sort_records(records, sort) for line in _block(record, now, zone))


def _block(record: Record, now: float, zone: tzinfo | None) -> Iterable[str]:
    process, spec = process_of(record.instance.actual), record.spec
    yield f"+--- {printable(spec.name)}"
    yield f"namespace : {printable(spec.namespace)}"
    yield f"version : {printable(spec.version)}"
    yield f"pid : {process.pid if process else 0}"
    yield f"pm2 id : {record.instance.id}"
    yield f"status : {state_word(record, now)}"
    yield f"mode : {record.exec_mode}"
    yield f"restarted : {record.instance.restarts}"
    yield f"uptime : {uptime_text(record, now)}"
    yield f"memory usage : {bytes_word(record.usage.memory)} "  # the space at the end is PM2's
    yield f"error log : {printable(record.error_path)}"
    yield f"watching : {'yes' if record.watching else 'no'}"
    yield f"PID file : {printable(record.pid_path)}"
    if spec.job:
        yield f"schedule : {printable(schedule(spec.job))}"
        yield f"last run : {outcome(record)}"
        yield f"next due : {next_due(record, now, zone)}"
    yield ""
