"""The cluster's room and the reloads', as the rest of the daemon meets them: loaded and built when the first app needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.daemon.installed import refuse_another
from rota.process.spec import in_cluster

if TYPE_CHECKING:
    import asyncio

    import msgspec

    from rota.daemon.cluster.members import Cluster
    from rota.daemon.cluster.rollout import Rollouts
    from rota.daemon.entry import Entry
    from rota.daemon.perform import Effects
    from rota.daemon.procs.spawn import Child, Order
    from rota.daemon.world import World
    from rota.process.effects import Announce

PLANS = "rollout."
"""Settings that begin so are reloads under way."""


class Clusters:
    """Passes on what concerns clusters. A daemon without any knows nothing of them."""

    effects: Effects

    def __init__(self, world: World, kept: dict[str, list[int]]) -> None:
        self._world = world
        self._cluster: Cluster | None = None
        self._rollouts: Rollouts | None = None
        self.autoscaling: asyncio.Task[None] | None = None
        # Listeners and control sockets; a process's own descriptors have keys without a slash.
        self._kept = {key: kept.pop(key) for key in [key for key in kept if "/" in key]}
        if self._kept:
            self.room()

    def room(self) -> Cluster:
        """The room itself."""
        if self._cluster is None:
            refuse_another()
            from rota.daemon.cluster.members import Cluster

            self._cluster = Cluster(self._world, self._kept)
        return self._cluster

    def rollouts(self) -> Rollouts:
        """What carries reloads out."""
        if self._rollouts is None:
            refuse_another()
            from rota.daemon.cluster.rollout import Rollouts

            self._rollouts = Rollouts(self._world, self.effects)
        return self._rollouts

    def app_changed(self, name: str) -> None:
        """Whether the number of its instances follows the load is now as its specification says."""
        spec = self._world.supervisor.spec_of(name)
        if self.autoscaling is None and spec is not None and spec.max_instances:
            from rota.daemon.cluster.autoscale import autoscale

            self.autoscaling = self._world.loop.create_task(autoscale(self._world))

    def app_renamed(self, former: str, name: str) -> None:
        """Its addresses are its own under the new name, too."""
        if self._cluster is not None:
            self._cluster.listeners.rename(former, name)

    def before_adoption(self) -> None:
        """See `Rollouts.before_adoption`."""
        if self._world.supervisor.passing:
            self.rollouts().before_adoption()

    def after_adoption(self) -> None:
        """See `Rollouts.after_adoption`."""
        if self._cluster is not None or self._world.supervisor.passing or self._world.ledger.has_settings(PLANS):
            self.rollouts().after_adoption()

    def prepared(self, entry: Entry, order: Order) -> Order:
        """See `Cluster.prepared`."""
        if in_cluster(entry.spec):
            return self.room().prepared(entry, order)
        if self._cluster is not None:
            self._cluster.no_cluster(entry.name)
        return order

    def spawned(self, entry: Entry, *, came_out: bool) -> None:
        """See `Cluster.spawned`."""
        if self._cluster is not None:
            self._cluster.spawned(entry, came_out=came_out)

    def opened(self, entry: Entry, child: Child) -> None:
        """See `Cluster.opened`."""
        if in_cluster(entry.spec):
            self.room().opened(entry, child)

    def closed(self, entry: Entry) -> None:
        """See `Cluster.closed`."""
        if self._cluster is not None:
            self._cluster.closed(entry)

    def heard(self, entry: Entry, gen: int, cmd: str, fields: dict[str, msgspec.Raw]) -> bool:
        """See `Cluster.heard`."""
        return self._cluster is not None and self._cluster.heard(entry, gen, cmd, fields)

    def announced(self, entry: Entry, effect: Announce) -> None:
        """See `Cluster.announced`."""
        if in_cluster(entry.spec):
            self.room().announced(entry, effect)

    def forgotten(self, entry: Entry) -> None:
        """See `Cluster.forgotten`."""
        if self._cluster is not None:
            self._cluster.forgotten(entry)

    def handover(self) -> dict[str, list[int]]:
        """See `Cluster.handover`."""
        return self._cluster.handover() if self._cluster is not None else {}
