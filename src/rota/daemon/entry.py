"""What the daemon holds in memory of one instance, beside its ledger row. Owned by the supervisor."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rota.daemon.procs.spawn import Child
    from rota.daemon.procs.tree import Tree
    from rota.daemon.streams import Heard, Outputs
    from rota.daemon.talk.ipc import Channel
    from rota.process.record import Metric
    from rota.process.spec import AppSpec
    from rota.process.state import Instance


class Told(msgspec.Struct):
    """What the running process said about itself over IPC; forgotten when it exits."""

    node_version: str = ""
    actions: list[dict[str, msgspec.Raw]] = msgspec.field(default_factory=list)
    metrics: dict[str, Metric] = msgspec.field(default_factory=dict)
    options: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    status: str = ""
    """sd_notify's STATUS=."""


class Entry(msgspec.Struct, eq=False):
    """One instance: its row, its spec, its process if any, and what hangs on it."""

    instance: Instance
    spec: AppSpec
    child: Child | None = None
    outputs: Outputs | None = None
    tree: Tree | None = None
    channel: Channel | None = None
    timers: dict[str, asyncio.TimerHandle] = msgspec.field(default_factory=dict)
    waiters: list[Waiter] = msgspec.field(default_factory=list)
    closers: list[Callable[[], None]] = msgspec.field(default_factory=list)
    """What has to be ended with the process: probes, watchdog."""
    told: Told = msgspec.field(default_factory=Told)
    watching: bool = False
    last_words: deque[bytes] = msgspec.field(default_factory=partial(deque, maxlen=64))
    """The newest output of a successor: shown when it does not become ready."""
    run_log: str = ""
    """File that gets everything the present run of a job prints, beside the app's own logs."""
    run_env: dict[str, str] = msgspec.field(default_factory=dict)
    """What the process of the present run is told about it."""
    heard: list[Heard] = msgspec.field(default_factory=list)
    """Who follows its output as it comes, from one process to the next."""
    replies: dict[str, list[Callable[[str], None]]] = msgspec.field(default_factory=dict)
    """Who waits for the reply to a triggered action, by action, in the order of asking."""

    @property
    def id(self) -> int:
        return self.instance.id

    @property
    def name(self) -> str:
        return self.spec.name


class Waiter(msgspec.Struct, eq=False):
    """Someone waits until `done` holds for every pending instance, or it is gone."""

    done: Callable[[Entry], bool]
    pending: set[int]
    future: asyncio.Future[None]
    progress: Callable[[set[int]], None] | None = None

    def look(self, entry: Entry, *, gone: bool = False) -> None:
        """The entry changed."""
        if entry.id in self.pending and (gone or self.done(entry)):
            self.pending.discard(entry.id)
            if self.progress is not None:
                self.progress(self.pending)
        if not self.pending and not self.future.done():
            self.future.set_result(None)
