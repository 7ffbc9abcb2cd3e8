"""Jobs and schedules, as the rest of the daemon meets them: loaded and built when the first app has one, or a verb asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.daemon.installed import refuse_another

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.jobs.activity import Active
    from rota.daemon.jobs.budgets import Budgets
    from rota.daemon.jobs.crontab import Crontab
    from rota.daemon.jobs.pulse import Pulse
    from rota.daemon.jobs.runbook import RunBook
    from rota.daemon.world import World
    from rota.process.record import RunSummary
    from rota.process.spec import AppSpec


class Scheduling:
    """The run book, the crontab and the pulse, or nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._budgets: Budgets | None = None
        self._runbook: RunBook | None = None
        self._crontab: Crontab
        self._pulse: Pulse
        self._unfinished: list[Active] = []
        self._adopted = False

    def before_adoption(self) -> None:
        """What a former daemon left unfinished is tied to its instances, so that what adoption finds concludes it."""
        world = self._world
        specs = map(world.supervisor.spec_of, world.supervisor.by_name)
        if any(spec is not None and has_schedule(spec) for spec in specs) or world.ledger.has_unfinished_runs():
            self.runbook()

    def after_adoption(self) -> None:
        """What was claimed and never started starts; from now on things fall due."""
        self._adopted = True
        if self._runbook is not None:
            self._go()

    def runbook(self) -> RunBook:
        """The jobs and their runs."""
        if self._runbook is None:
            self._build()
        assert self._runbook is not None
        return self._runbook

    def budgets(self) -> Budgets:
        """Terms of the budgets that runs take from."""
        if self._budgets is None:
            from rota.daemon.jobs.budgets import Budgets

            self._budgets = Budgets(self._world)
        return self._budgets

    def _build(self) -> None:
        refuse_another()
        from rota.daemon.jobs.crontab import Crontab
        from rota.daemon.jobs.pulse import Pulse
        from rota.daemon.jobs.runbook import RunBook
        from rota.stores.sqlite import SqliteStore

        world = self._world
        runbook = RunBook(world, SqliteStore(world.home.db))
        self._crontab, self._pulse = Crontab(world, runbook), Pulse(world)
        self._runbook = runbook
        self._unfinished = runbook.recover()
        self._crontab.load()
        if self._adopted:
            self._go()

    def _go(self) -> None:
        assert self._runbook is not None
        self._runbook.resume(self._unfinished)
        self._unfinished = []
        self._crontab.start()

    def became_idle(self, entry: Entry) -> None:
        """Nothing of an instance runs any more."""
        if self._runbook is not None:
            self._runbook.became_idle(entry)

    def app_changed(self, name: str) -> None:
        """Instances of an app appeared or went, or have another specification."""
        if self._runbook is not None:
            self._crontab.refresh(name)
        elif (spec := self._world.supervisor.spec_of(name)) is not None and has_schedule(spec):
            self._build()

    def next_due(self, name: str) -> float | None:
        """When an app is due next."""
        return self._crontab.next_due(name) if self._runbook is not None else None

    def run_summary(self, entry: Entry) -> RunSummary | None:
        """A job's last run and next due time."""
        return self.runbook().summary(entry)

    def beat(self) -> None:
        """Called every second: a sign of life, where there are jobs."""
        if self._runbook is not None:
            self._pulse.beat()

    def stop(self) -> None:
        """Nothing falls due any more; runs that end now are left to the next daemon."""
        if self._runbook is not None:
            self._crontab.stop()
            self._runbook.suspended = True

    async def close(self) -> None:
        """Everything has ended."""
        if self._runbook is not None:
            self._pulse.end()
            await self._runbook.close()


def has_schedule(spec: AppSpec) -> bool:
    """Whether the app is a job, or a service that is restarted by the clock."""
    return spec.job is not None or bool(spec.cron_restart)
