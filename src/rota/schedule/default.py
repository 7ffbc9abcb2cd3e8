"""The program's own scheduler, for those who need only one: `from rota import every, cron, run_forever`."""

from __future__ import annotations

from rota.schedule.scheduler import Scheduler

scheduler = Scheduler()
"""Jobs of `rota.every`, `rota.cron` and `rota.job`. Nothing is opened before it runs."""

every = scheduler.every
cron = scheduler.cron
job = scheduler.job
start = scheduler.start
stop = scheduler.stop
run_forever = scheduler.run_forever
lifespan = scheduler.lifespan
checkpoint = scheduler.checkpoint
heartbeat = scheduler.heartbeat
