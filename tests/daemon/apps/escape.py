"""Leaves processes behind that nothing but a mark in their limits connects with us: HOW they go is the argument."""

import os
import sys
import time


def away() -> bool:
    """Whether we are the one who got away: in a session of its own, with no parent but whoever takes orphans."""
    if os.fork() > 0:
        return False
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    return True


how = sys.argv[1]
if away():
    os.setsid()
    command = {"fresh": ["sleep", "612"], "user": ["setpriv", "--reuid=65534", "--clear-groups", "sleep", "612"]}[how]
    os.execvpe(command[0], command, {"PATH": os.environ["PATH"]})
os.wait()
print("ready", flush=True)
time.sleep(600)
