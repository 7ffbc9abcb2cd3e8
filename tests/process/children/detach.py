"""Forks twice and leaves a grandchild in a session of its own: says its pid.

    detach.py [leave] [fresh] [lift] [stubborn]

leave: end at once; else stay. fresh: the grandchild starts over with an empty environment. lift: it puts down the mark in its
limits first. stubborn: it ignores signals.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

words = sys.argv[1:]
FRESH = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]


def linger() -> None:
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "lift" in words:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, (hard, hard))
    if "fresh" in words:
        os.execve(FRESH[0], FRESH, {})
    os.write(1, b"%d\n" % os.getpid())
    while True:
        time.sleep(60)


if os.fork() == 0:
    os.setsid()
    child = os.fork()
    if child == 0:
        linger()
    if "fresh" in words:
        # Seen from outside only once the new program runs.
        while b"-c" not in Path(f"/proc/{child}/cmdline").read_bytes():
            time.sleep(0.001)
        os.write(1, b"%d\n" % child)
    os._exit(0)
os.wait()
while "leave" not in words:
    time.sleep(60)
