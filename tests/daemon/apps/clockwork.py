"""An app with jobs inside: one that is fine, one that fails, a sweep that takes its time, a checkpoint and a heartbeat."""

from rota import Budget, Scheduler

rota = Scheduler()
api = Budget("api", limit=100, per="1h")


@rota.every("200ms", budget=api, timeout="10s")
async def poll() -> None: ...


@rota.every("1h", run_on_start=True)
def fails() -> None:
    raise ValueError("not today")


@rota.job()
def sweep(run) -> None:
    for _ in run.batches(range(40), size=10, pause="50ms"):
        pass


@rota.job()
def tick() -> None: ...  # the daemon has a job of this name too


if __name__ == "__main__":
    rota.checkpoint("treasury", chain="eth", stale_after="1h").save(last_block=7, records_total=3)
    rota.heartbeat("consumer", every="1h").beat(offset=1)
    rota.run_forever()
