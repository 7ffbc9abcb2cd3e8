"""Ignores what it is politely asked."""

import signal
import time

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ignoring", flush=True)
while True:
    time.sleep(1000)
