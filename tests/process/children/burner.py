"""burner.py SECONDS [how]: uses that much CPU, says "done", and waits for its standard input to end.

how: self (default) or child (in a child that is waited for).
"""

import os
import sys
import time


def burn(seconds: float) -> None:
    while time.process_time() < seconds:
        pass


seconds, how = float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "self"
if how == "self":
    burn(time.process_time() + seconds)
else:
    pid = os.fork()
    if pid == 0:
        burn(seconds)
        os._exit(0)
    os.waitpid(pid, 0)
print("done", flush=True)
sys.stdin.read()
