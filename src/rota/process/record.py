"""What everybody outside the supervisor sees of an instance: one immutable picture, the input of every renderer."""

from __future__ import annotations

import msgspec

from rota.process.spec import AppSpec  # noqa: TC001 - msgspec resolves annotations at run time
from rota.process.state import Instance  # noqa: TC001


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whole-tree figures of the last sample."""

    memory: int = 0
    """Resident bytes of the tree."""
    cpu: float = 0.0
    """Percent of one core since the previous sample, one decimal."""
    processes: int = 0


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value an app reported over IPC (`axm:monitor`)."""

    value: str | float | int | bool | None
    unit: str = ""
    type: str = ""
    historic: bool = True


class RunSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job in a list: the last outcome and the next due time (seconds since the epoch, UTC)."""

    outcome: str = ""
    """Of the last finished run, "" when there was none."""
    started: float | None = None
    """When the last finished run started."""
    finished: float | None = None
    runs: int = 0
    """Runs in the ledger."""
    running: int = 0
    next_due: float | None = None
    paused: bool = False


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of `rota list`, one element of `rota jlist`."""

    instance: Instance
    spec: AppSpec
    usage: Usage = Usage()
    out_path: str = ""
    error_path: str = ""
    log_path: str = ""
    """Combined log, "" when none."""
    pid_path: str = ""
    username: str = ""
    exec_mode: str = "fork"
    instances: int = 1
    """Resolved number."""
    node_version: str = ""
    actions: tuple[dict[str, msgspec.Raw], ...] = ()
    metrics: dict[str, Metric] = {}
    options: dict[str, msgspec.Raw] = {}
    watching: bool = False
    run: RunSummary | None = None
    now: float = 0.0
    """Wall clock when the picture was taken."""
