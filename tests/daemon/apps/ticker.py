"""Numbered lines at a steady pace, and an orderly end on SIGTERM or SIGINT: `ticker.py PAUSE [EXIT_CODE_AFTER N]`."""

import signal
import sys
import time

pause = float(sys.argv[1])
code, last = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (0, -1)
ended = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: ended.append(1))

count = 0
while not ended and count != last:
    sys.stdout.write(f"line {count}\n")
    sys.stdout.flush()
    count += 1
    time.sleep(pause)
sys.stdout.write(f"end {count}\n")
sys.stdout.flush()
sys.exit(code)
