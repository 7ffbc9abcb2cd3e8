"""Ids and pids as `rota id`, `rota pid` and the progress lines show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.process.state import process_of
from rota.render.inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rota.process.record import Record


def ids_text(ids: Sequence[int], typed: bool = False) -> str:
    """`[ 0, 1 ]`, `[]`; over six of them in columns. `typed`: the user wrote the id, and PM2 then quotes it: `[ '0' ]`."""
    return inspect([str(id) for id in ids] if typed else list(ids))


def pids_text(records: Iterable[Record]) -> str:
    """One pid per line, 0 for what does not run; "" when there is nothing."""
    processes = [process_of(record.instance.actual) for record in records]
    return "\n".join(str(process.pid) if process else "0" for process in processes)
