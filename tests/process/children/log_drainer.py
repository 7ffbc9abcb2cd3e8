"""A daemon of its own for tests: argv[1] is a JSON file saying which FIFOs go to which log files; pumps until SIGTERM."""

import asyncio
import json
import os
import signal
import sys

from rota.logs.drain import Drain, Sink
from rota.logs.encode import encoder
from rota.logs.files import LogFiles
from rota.logs.pump import LogPump
from rota.logs.rotation import RotationPolicy


async def main() -> None:
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    policy = RotationPolicy(**plan["policy"]) if plan.get("policy") else None
    files = LogFiles(report=lambda text: print(text, file=sys.stderr, flush=True))
    pump = LogPump(asyncio.get_running_loop(), files)
    drains = []
    for stream in plan["streams"]:
        form = encoder(kind=stream["kind"], process_id=0, app_name=stream["name"], **stream.get("form", {}))
        sinks = [Sink(files.open(path, policy, group=stream["name"]), form) for path in stream["paths"]]
        fd = os.open(stream["fifo"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        drains.append(
            Drain(fd, stream["kind"], sinks, files=files, name=stream["name"], continues=stream.get("continues", True))
        )
        pump.add(drains[-1])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)
    await stop.wait()
    for drain in drains:
        pump.remove(drain)
    pump.close()
    files.housekeeper.settle(30)
    files.close()


asyncio.run(main())
