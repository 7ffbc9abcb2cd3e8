"""rota keeps services running and scheduled work on time.

`from rota import every, cron, Budget, Scheduler, checkpoint`: everything is imported when first used, so that `import rota`
itself costs next to nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rota.errors import RotaError
    from rota.schedule.budgets.budget import Budget, BudgetExceeded
    from rota.schedule.budgets.grant import Grant, Reservation
    from rota.schedule.default import (
        checkpoint,
        cron,
        every,
        heartbeat,
        job,
        lifespan,
        run_forever,
        scheduler,
        start,
        stop,
    )
    from rota.schedule.here import this_run
    from rota.schedule.holds import Adaptive, Breaker
    from rota.schedule.run import Run, RunEnded
    from rota.schedule.scheduler import Scheduler
    from rota.version import __version__

_HOMES = {
    "Adaptive": "rota.schedule.holds",
    "Breaker": "rota.schedule.holds",
    "Budget": "rota.schedule.budgets.budget",
    "BudgetExceeded": "rota.schedule.budgets.budget",
    "Grant": "rota.schedule.budgets.grant",
    "Reservation": "rota.schedule.budgets.grant",
    "RotaError": "rota.errors",
    "Run": "rota.schedule.run",
    "RunEnded": "rota.schedule.run",
    "Scheduler": "rota.schedule.scheduler",
    "__version__": "rota.version",
    "checkpoint": "rota.schedule.default",
    "cron": "rota.schedule.default",
    "every": "rota.schedule.default",
    "heartbeat": "rota.schedule.default",
    "job": "rota.schedule.default",
    "lifespan": "rota.schedule.default",
    "run_forever": "rota.schedule.default",
    "scheduler": "rota.schedule.default",
    "start": "rota.schedule.default",
    "stop": "rota.schedule.default",
    "this_run": "rota.schedule.here",
}

__all__ = [
    "Adaptive",
    "Breaker",
    "Budget",
    "BudgetExceeded",
    "Grant",
    "Reservation",
    "RotaError",
    "Run",
    "RunEnded",
    "Scheduler",
    "__version__",
    "checkpoint",
    "cron",
    "every",
    "heartbeat",
    "job",
    "lifespan",
    "run_forever",
    "scheduler",
    "start",
    "stop",
    "this_run",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rota' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
