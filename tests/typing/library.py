"""Never run, only type-checked: what users of the library write keeps its types, decorated functions included."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_type

from rota import Budget, Run, Scheduler, cron, every, job
from rota.stores.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

rota = Scheduler()
lookup = Budget("lookup", limit=5, per=timedelta(minutes=1))


@rota.every("2m", timeout="20s", budget={lookup: 2}, retries=2, overlap="queue", env="POLL_INTERVAL")
async def poll(run: Run) -> None:
    async with lookup.take(2):
        pass
    assert (await lookup.take()).waited >= 0
    async for batch in run.batches({"a": 1}, resume=True):
        assert_type(batch, list[str])


@rota.cron("0 2 * * *", tz="UTC", after=[poll], breaker=5, adaptive=False)
def snapshot() -> int:
    return 1


@every(timedelta(minutes=1))
@job
@rota.job(isolate="process")
@cron("* * * * *", name="also")
def often(count: int) -> str:
    return str(count)


def functions_stay_what_they_are(plain: Callable[[], int]) -> None:
    polls: Callable[[Run], Coroutine[Any, Any, None]] = poll
    called: Callable[[], int] = rota.every("1m", plain, name=polls.__name__)
    assert_type(called(), int)
    assert_type(snapshot(), int)
    assert_type(often(1), str)
    rota.every("1m", plain, overlpa="skip")  # type: ignore[call-overload]


async def a_run_can_be_waited_for() -> RunRecord:
    assert_type(rota.trigger(snapshot).wait("5s"), RunRecord)
    return await rota.trigger("poll")
