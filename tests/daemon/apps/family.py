"""A main process with a grandchild that left the session, was orphaned, and ignores every polite signal.

`family.py MODE`: `stay` waits; `crash` ends at once with code 3 and leaves the grandchild behind.
"""

import os
import signal
import sys
import time


def grandchild() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, f"grandchild {os.getpid()}\n".encode())
    time.sleep(1000)


child = os.fork()
if child == 0:
    grandchild()
    os._exit(0)
os.waitpid(child, 0)
time.sleep(0.2)
if sys.argv[1] == "crash":
    sys.exit(3)
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
while True:
    time.sleep(1000)
