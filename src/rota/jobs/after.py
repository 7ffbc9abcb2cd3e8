"""Jobs that follow other jobs' success."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.jobs.spec import JobSpec


def released(job: JobSpec, successes: Mapping[str, float], last: float | None) -> float | None:
    """Whether the jobs named in `after` have all succeeded since this one was last released.

    Args:
        job: whose `after` is asked.
        successes: by name, when the latest successful run finished.
        last: the instant this function returned for the job's latest such run, None if there was none.

    Returns:
        The instant of the success that completed the set: it names this release, so that two observers, or one after a
        crash, release it once. None: not yet.
    """
    if not job.after:
        return None
    instants = [successes.get(name) for name in job.after]
    known = [instant for instant in instants if instant is not None and (last is None or instant > last)]
    return max(known) if len(known) == len(job.after) else None


def check_order(jobs: Mapping[str, JobSpec]) -> None:
    """Refuse chains that name an unknown job or come back to their beginning.

    Raises:
        SpecError: with the key path `jobs.NAME.after`.
    """
    done: set[str] = set()
    for name in jobs:
        _walk(name, jobs, [], done)


def _walk(name: str, jobs: Mapping[str, JobSpec], path: list[str], done: set[str]) -> None:
    if name in path:
        circle = " -> ".join([*path[path.index(name) :], name])
        raise SpecError(
            f"jobs wait for each other in a circle: {circle}", "take one name out", key=f"jobs.{name}.after"
        )
    if name in done:
        return
    for other in jobs[name].after:
        if other not in jobs:
            raise SpecError(f"there is no job {other!r}", "check the name", key=f"jobs.{name}.after")
        _walk(other, jobs, [*path, name], done)
    done.add(name)
