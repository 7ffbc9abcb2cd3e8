"""A bounded fork bomb: fills up to 60 processes, each of which starts another whenever it can. Says "ready" when full."""

import os
import time

deadline = time.monotonic() + 5
first = True
for generation in range(6):
    if os.fork() == 0 and generation % 2:
        os.setpgid(0, 0)
if os.getppid() and os.getsid(0) == os.getpid():
    print("ready", flush=True)
born = 0
while time.monotonic() < deadline and born < 20:
    time.sleep(0.02)
    if os.fork() == 0:
        born = 20
    else:
        born += 1
time.sleep(60)
