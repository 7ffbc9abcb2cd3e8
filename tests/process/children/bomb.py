"""A bounded fork bomb: 32 processes in several groups, each of which goes on forking, to 200 at most. Says "ready"."""

import os
import time

deadline = time.monotonic() + 5
for generation in range(5):
    if os.fork() == 0 and generation % 2:
        os.setpgid(0, 0)
if os.getsid(0) == os.getpid():
    print("ready", flush=True)
for _ in range(5):
    time.sleep(0.02)
    if time.monotonic() > deadline or os.fork() == 0:
        break
time.sleep(60)
