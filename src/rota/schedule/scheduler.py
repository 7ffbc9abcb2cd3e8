"""The scheduler as users see it: register jobs, run them, look at them."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from rota.clock import local_zone
from rota.errors import RotaError, SpecError
from rota.schedule import logs, surroundings
from rota.schedule.checkpoints import Checkpoint, HeartbeatHandle
from rota.schedule.drivers import Clockwork, Runners, wind_up
from rota.schedule.engine import Engine
from rota.schedule.handle import RunHandle
from rota.schedule.health.asgi import HealthAsgi
from rota.schedule.health.routes import Health
from rota.schedule.health.wsgi import HealthWsgi
from rota.schedule.loopwatch import LoopWatch
from rota.schedule.registry import Registry
from rota.schedule.terminal import Bar, BarHandler, is_terminal
from rota.schedule.workers import this_worker
from rota.stores.opening import open_store
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta

    from rota.clock import Clock
    from rota.schedule.job import Job
    from rota.stores.base import Store
    from rota.stores.records import JobRecord, RunRecord


class Scheduler(Registry):
    """Jobs of one app, run on time.

    Args:
        store: where runs, budgets and checkpoints are kept: a URL ("sqlite:///rota.db", "memory://") or a store; None =
            rota's own database when run under rota, else ROTA_STORE, else rota.db in the working directory. Schedulers
            of several processes with the same store and name share their jobs: each due time runs once.
        name: of the app; default: its name under rota, else "app".
        tz: zone of cron jobs that name none; default: the host's.
        lease: after this long without a sign of life a worker's runs count as abandoned; it shows one at half of it.
        shutdown_timeout: how long `stop` lets runs end by themselves.
        log: "human" or "json" prints the scheduler's lines to stderr ("human" on a terminal with a progress bar); None leaves
            them to the logger `rota.schedule`.
        blocked_after: a job that keeps the event loop busy this long is named in the log.
        clock: for tests.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        *,
        name: str = "",
        tz: str = "",
        lease: str | float | timedelta = 30.0,
        shutdown_timeout: str | float | timedelta = 10.0,
        log: Literal["human", "json"] | None = None,
        blocked_after: str | float | timedelta = 1.0,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.name = name or _app_name()
        self._given_store = store
        self._store: Store | None = None
        self._clock = clock
        self._tz = tz
        self._lease, self._patience = parse_duration(lease), parse_duration(shutdown_timeout)
        self._log_kind, self._blocked_after = log, parse_duration(blocked_after)
        if self._lease < 1:
            raise SpecError("a lease shorter than a second is lost by chance", "use lease='30s'", key="lease")
        self._engine: Engine | None = None
        self._clockwork: Clockwork | None = None
        self._runners: Runners | None = None
        self._pid = 0
        self._ended: list[Callable[[], None]] = []
        self._handler: Any = None
        self._hooks: list[Callable[[], None]] = []

    def _zone(self) -> str:
        return self._tz or local_zone()

    def _added(self, job: Job) -> None:
        for budget, _ in job.budgets:
            if self._given_store is not None:
                budget.bind(self.store, self.clock)
        engine = self._engine
        if engine is not None:
            engine.post(lambda: engine.add(job))

    def remove(self, job: str | Callable[..., Any]) -> None:
        """Forget a job. A run under way goes on.

        Raises:
            TargetNotFound: there is no such job.
        """
        known = self._known(job)
        del self.registered[known.name]
        engine = self._engine
        if engine is not None:
            engine.post(lambda: engine.remove(known))
        else:
            self.store.forget(self.name, known.name)

    # -- at run time

    def pause(self, job: str | Callable[..., Any]) -> None:
        """Start no run of the job until `resume`, in every process. Due times that pass meanwhile are not made up for.

        Raises:
            TargetNotFound: there is no such job.
        """
        self._set_paused(self._known(job), True)

    def resume(self, job: str | Callable[..., Any]) -> None:
        """Undo `pause`; also closes the job's circuit breaker.

        Raises:
            TargetNotFound: there is no such job.
        """
        self._set_paused(self._known(job), False)

    def trigger(self, job: str | Callable[..., Any]) -> RunHandle:
        """Run the job now, beside its schedule: `handle.wait()`, or `await handle`. It waits its turn behind a run under way.

        Raises:
            TargetNotFound: there is no such job.
        """
        known = self._known(job)
        self._make_known(known)
        store = self.store
        handle = RunHandle(store.request(self.name, known.name, self.clock.now()), known.name, store.run)
        engine = self._engine
        if engine is not None:
            engine.post(lambda: engine.watch(handle.id, handle.tell))
            engine.post(engine.look)
        return handle

    def cancel(self, run: int) -> bool:
        """End a run by its id, wherever it runs. False when it is over or unknown."""
        engine = self._engine
        if engine is not None and run in engine.executions.live:
            engine.post(lambda: self._cancel_here(engine, run))
            return True
        return self.store.request_cancel(run)

    def job_record(self, job: str | Callable[..., Any]) -> JobRecord | None:
        """What the ledger says of a job."""
        return self.store.job(self.name, self._known(job).name)

    def runs(self, job: str | Callable[..., Any] | None = None, limit: int = 100) -> list[RunRecord]:
        """The newest runs, of one job when given."""
        return self.store.runs(self.name, None if job is None else self._known(job).name, limit=limit)

    def checkpoint(self, source: str, chain: str = "", *, stale_after: str | float | timedelta = 0.0) -> Checkpoint:
        """How far a collection has come: `rota.checkpoint("treasury", chain="eth").save(last_block=123)`."""
        return Checkpoint(source, chain, stale_after=stale_after, store=self.store, clock=self.clock, app=self.name)

    def heartbeat(self, name: str, every: str | float | timedelta = 60.0) -> HeartbeatHandle:
        """A sign of life of something that is no job: call `.beat()`; silent for twice `every`, it counts as stalled."""
        return HeartbeatHandle(name, every, store=self.store, clock=self.clock, app=self.name)

    # -- running

    def after_run(self, hook: Callable[[], None]) -> None:
        """Call this in the thread of each plain function when it is over, whatever its outcome: to close connections."""
        self._hooks.append(hook)

    @property
    def running(self) -> bool:
        """Whether it runs in this process (and not only in one that forked it)."""
        return self._engine is not None and self._pid == os.getpid() and not self._engine.finished.is_set()

    def start(self) -> Self:
        """Run in background threads until `stop`, or the program's end, which stops it too. For Flask, Django, scripts.

        Raises:
            RotaError: it runs already.
        """
        self._begin(None)
        atexit.register(self.stop)
        return self

    def stop(self, timeout: str | float | timedelta | None = None) -> None:
        """Start nothing more, let runs end for `timeout` (default `shutdown_timeout`), tell the others to end, and return
        when all are over; those that do not listen are given up after their `kill_after`. On an event loop, leave the
        `async with` instead."""
        clockwork, runners = self._clockwork, self._runners
        if self._ask_to_stop(timeout):
            assert clockwork is not None, "what runs has a clockwork"
            clockwork.join()
            self._release(runners)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._begin(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        loop, ended, runners = asyncio.get_running_loop(), asyncio.Event(), self._runners
        self._ended.append(partial(_set, loop, ended))
        if self._ask_to_stop(None):
            await ended.wait()
            await loop.run_in_executor(None, self._release, runners)

    def run_forever(self) -> None:
        """Run as a program until SIGINT or SIGTERM. A second signal ends the runs at once."""
        if self._log_kind is None and not logs.logger.hasHandlers():
            self._log_kind = "human"
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._until_told())
        finally:
            wind_up(loop)

    def lifespan(self, app: Any = None) -> AbstractAsyncContextManager[None]:
        """For Starlette and FastAPI: `FastAPI(lifespan=rota.lifespan)`."""
        return self._lifespan()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        async with self:
            yield

    # -- health

    def health(self, *, budgets_key: str = "", run_token: str = "") -> Health:
        """What health says of these jobs, without HTTP: `rota.health().cron().body`.

        Args:
            budgets_key: a second name for the budgets in `/health/cron`, as "x_api_status".
            run_token: enables `POST /api/jobs/{name}/run` for those who send `Authorization: Bearer TOKEN`.
        """
        return Health(self.store, self.clock, self.name, self, budgets_key, run_token)

    def health_asgi(self, *, budgets_key: str = "", run_token: str = "") -> HealthAsgi:
        """The health endpoints as an ASGI application: `app.mount("/", rota.health_asgi())`."""
        return HealthAsgi(self.health(budgets_key=budgets_key, run_token=run_token))

    def health_wsgi(self, *, budgets_key: str = "", run_token: str = "") -> HealthWsgi:
        """The health endpoints as a WSGI application; `.before(app)` puts them in front of another."""
        return HealthWsgi(self.health(budgets_key=budgets_key, run_token=run_token))

    # -- what they are made of

    @property
    def store(self) -> Store:
        """Where it keeps its records."""
        simulated = surroundings.simulated_store()
        if simulated is not None:
            return simulated
        if self._store is None:
            given = self._given_store
            self._store = open_store(given) if given is None or isinstance(given, str) else given
        return self._store

    @property
    def clock(self) -> Clock:
        """Where it takes the time from."""
        simulated = surroundings.simulated_store() is not None
        return surroundings.clock() if simulated or self._clock is None else self._clock

    @property
    def engine(self) -> Engine | None:
        """The engine while it runs; for health and tests."""
        return self._engine

    def make_engine(
        self,
        runner_of: Callable[[Job], Any],
        wake: Callable[[], None],
        store: Store | None = None,
        clock: Clock | None = None,
        lease: float | None = None,
    ) -> Engine:
        """An engine over these jobs. For `start` and for simulations."""
        return Engine(
            store=store or self.store,
            clock=clock or self.clock,
            app=self.name,
            worker=this_worker(),
            log=logs.EventLog(),
            runner_of=runner_of,
            lease=lease or self._lease,
            wake=wake,
        )

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self.running:
            raise RotaError(f"scheduler {self.name} runs already", "stop it first, or use a second Scheduler")
        bar = Bar(self.clock) if is_terminal() and self._log_kind == "human" else None
        if self._log_kind is not None and self._handler is None:
            self._handler = logs.configure(self._log_kind, None if bar is None else BarHandler(bar))
        self._runners = Runners(loop, self.store.url, self._hooks)
        self._clockwork = clockwork = Clockwork()
        self._engine = engine = self.make_engine(self._runners.of, clockwork.wake)
        if bar is not None:
            engine.executions.show_progress(bar)
        self._pid = os.getpid()
        runners = self._runners
        engine.post(LoopWatch(engine, lambda: runners.loop_runner, self._blocked_after).start)
        clockwork.start(engine, dict(self.registered), self._over)

    def _ask_to_stop(self, timeout: str | float | timedelta | None) -> bool:
        engine = self._engine
        if engine is None or not self.running:
            return False
        patience = self._patience if timeout is None else parse_duration(timeout)
        engine.post(lambda: engine.stop(patience))
        return True

    def _over(self) -> None:
        """In the clockwork's thread: the engine is finished."""
        tell, self._ended = self._ended, []
        for each in tell:
            each()

    def _release(self, runners: Runners | None) -> None:
        atexit.unregister(self.stop)
        if runners is not None:
            runners.close()
        if self._clockwork is not None:
            self._clockwork.join()
        self._engine = self._clockwork = self._runners = None
        if self._handler is not None:
            logs.logger.removeHandler(self._handler)
            self._handler = None
        self.store.close()

    async def _until_told(self) -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        async with self:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._told, told)
            await told.wait()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def _told(self, told: asyncio.Event) -> None:
        engine = self._engine
        if told.is_set() and engine is not None:
            engine.post(lambda: engine.stop(0.0))
        told.set()

    def _set_paused(self, job: Job, paused: bool) -> None:
        self._make_known(job)
        self.store.set_paused(self.name, job.name, paused)
        if not paused:
            self.store.set_hold(self.name, job.name, 0.0, "")
        if self._engine is not None:
            self._engine.post(self._engine.look)

    def _make_known(self, job: Job) -> None:
        """The engine writes jobs down in its own time; whoever is faster does it here."""
        if self.store.job(self.name, job.name) is None:
            from rota.schedule.ledger import Ledger

            Ledger(self.store, self.name, this_worker(), self.clock, self._lease).register(job)

    def _cancel_here(self, engine: Engine, run: int) -> None:
        execution = engine.executions.live.get(run)
        if execution is not None:
            engine.executions.cancel(execution, "somebody asked for it")

    def __repr__(self) -> str:
        return f"Scheduler({self.name!r}, jobs={len(self.registered)})"


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _app_name() -> str:
    # The daemon names the app in `name`, as PM2 does; ROTA_DB says that it is the daemon who speaks.
    return os.environ.get("ROTA_APP") or (os.environ.get("name") if "ROTA_DB" in os.environ else "") or "app"  # noqa: SIM112
