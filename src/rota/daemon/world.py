"""The parts of the running daemon, by name. Built once in main.py; passed to whoever acts or answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rota.process.record import Usage

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rota.clock import Clock
    from rota.daemon.bus import Bus
    from rota.daemon.cluster.members import Cluster
    from rota.daemon.cluster.rollout import Rollouts
    from rota.daemon.clusters import Clusters
    from rota.daemon.entry import Entry
    from rota.daemon.jobs.budgets import Budgets
    from rota.daemon.jobs.runbook import RunBook
    from rota.daemon.keeperlink import KeeperLink
    from rota.daemon.ledger import Ledger
    from rota.daemon.scheduling import Scheduling
    from rota.daemon.settings import Settings
    from rota.daemon.strays import Strays
    from rota.daemon.streams import Streams
    from rota.daemon.supervisor import Supervisor
    from rota.home import Home
    from rota.process.record import RunSummary
    from rota.render.host import HostMetrics


class World(msgspec.Struct, eq=False):
    """What the daemon is made of."""

    home: Home
    home_id: str
    """Tells this home's processes from another's in MARKER."""
    run_dir: str
    """Where new FIFOs are made."""
    clock: Clock
    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    keeper: KeeperLink
    settings: Settings
    streams: Streams
    bus: Bus
    supervisor: Supervisor
    started: float
    cpus: int
    clusters: Clusters = None  # type: ignore[assignment]  # set in main.py, as is `scheduling`
    scheduling: Scheduling = None  # type: ignore[assignment]
    notify_path: str = ""
    notify_fd: int = -1
    end: Callable[[int], None] = lambda code: None
    """End the daemon in an orderly way, with this exit code."""
    reexecute: Callable[[], None] = lambda: None
    """Replace this process by the installed code."""
    toggle_watch: Callable[[Entry], None] = lambda entry: None
    """PM2's `restart --watch`: watching goes on or off."""
    usage: Callable[[Entry], Usage] = lambda entry: Usage()
    """Figures of the last sample."""
    sample: Callable[[], None] = lambda: None
    """Take a sample now, unless there is one of the last second."""
    strays: Strays | None = None
    """Processes of ours that no ledger knows, once there were some."""
    host: Callable[[], HostMetrics | None] = lambda: None
    """Figures of the machine, from the last look."""

    @property
    def cluster(self) -> Cluster:
        """The processes of clusters and their listeners."""
        return self.clusters.room()

    @property
    def rollouts(self) -> Rollouts:
        """What carries reloads out."""
        return self.clusters.rollouts()

    @property
    def budgets(self) -> Budgets:
        """Terms of the budgets that runs take from."""
        return self.scheduling.budgets()

    @property
    def runbook(self) -> RunBook:
        """Jobs and their runs."""
        return self.scheduling.runbook()

    def next_due(self, name: str) -> float | None:
        """When an app is due next."""
        return self.scheduling.next_due(name)

    def run_summary(self, entry: Entry) -> RunSummary | None:
        """A job's last run and next due time."""
        return self.scheduling.run_summary(entry)
