"""Registering jobs: the decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from rota.errors import SpecError, TargetNotFound
from rota.schedule.job import Job, JobOptions, make_job
from rota.schedule.workers import host
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Unpack

Function = TypeVar("Function", bound="Callable[..., Any]")


class Registry:
    """Jobs by name, and the decorators that add to them."""

    def __init__(self) -> None:
        self.registered: dict[str, Job] = {}
        """Jobs by name."""

    @overload
    def every(
        self, interval: str | float | timedelta, /, **options: Unpack[JobOptions]
    ) -> Callable[[Function], Function]: ...

    @overload
    def every(
        self, interval: str | float | timedelta, func: Function, /, **options: Unpack[JobOptions]
    ) -> Function: ...

    def every(self, interval: Any, func: Any = None, /, **options: Unpack[JobOptions]) -> Any:
        """Run at a fixed interval: `@rota.every("2m")`, or `rota.every("2m", function, name=...)`.

        Due times are aligned to the epoch (every hour is on the hour, UTC), so that all processes name the same ones;
        `jitter` moves the start.

        Raises:
            SpecError: an option is wrong.
        """
        if callable(interval) or not parse_duration(interval):
            raise SpecError("every needs an interval above zero", 'as in @rota.every("2m")', key="every")
        return self._register(func, options, every=interval)

    @overload
    def cron(
        self,
        expression: str,
        /,
        *,
        tz: str = "",
        dst: Literal["debian", "real"] = "debian",
        **options: Unpack[JobOptions],
    ) -> Callable[[Function], Function]: ...

    @overload
    def cron(
        self,
        expression: str,
        func: Function,
        /,
        *,
        tz: str = "",
        dst: Literal["debian", "real"] = "debian",
        **options: Unpack[JobOptions],
    ) -> Function: ...

    def cron(
        self,
        expression: Any,
        func: Any = None,
        /,
        *,
        tz: str = "",
        dst: Literal["debian", "real"] = "debian",
        **options: Unpack[JobOptions],
    ) -> Any:
        """Run by a cron expression of five fields, or six with seconds first: `@rota.cron("0 2 * * *", tz="Europe/Paris")`.

        Args:
            tz: IANA zone; default: the scheduler's.
            dst: "debian": fixed times run once a day also when the clock changes; "real": every match in real time.

        Raises:
            SpecError: the expression, the zone or an option is wrong.
        """
        if callable(expression) or not expression.strip():
            raise SpecError("cron needs an expression", 'as in @rota.cron("0 2 * * *")', key="cron")
        return self._register(func, options, cron=expression, tz=tz, dst=dst)

    @overload
    def job(self, /, **options: Unpack[JobOptions]) -> Callable[[Function], Function]: ...

    @overload
    def job(self, func: Function, /, **options: Unpack[JobOptions]) -> Function: ...

    def job(self, func: Any = None, /, **options: Unpack[JobOptions]) -> Any:
        """A job without a schedule: run by `trigger`, by `rota run`, or `after=` others."""
        return self._register(func, options)

    def _register(self, func: Any, options: JobOptions, **schedule: Any) -> Any:
        if func is None:
            return lambda function: self._register(function, options, **schedule)
        job = make_job(func, options, host=host(), default_tz=self._zone(), **schedule)
        if job.name in self.registered:
            raise SpecError(f"there are two jobs called {job.name!r}", "give one of them another name=", key="name")
        self.registered[job.name] = job
        self._added(job)
        return func

    def _known(self, job: str | Callable[..., Any]) -> Job:
        if isinstance(job, str):
            if job in self.registered:
                return self.registered[job]
        else:
            for known in self.registered.values():
                if known.func is job:
                    return known
        raise TargetNotFound(
            f"there is no job {job if isinstance(job, str) else job.__name__!r}",
            f"known are: {', '.join(sorted(self.registered)) or 'none'}",
        )

    def _zone(self) -> str:
        """Zone of cron jobs that name none."""
        raise NotImplementedError

    def _added(self, job: Job) -> None:
        """A job was registered."""
        raise NotImplementedError
