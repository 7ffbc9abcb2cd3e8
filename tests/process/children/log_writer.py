"""Writes numbered lines to the FIFO argv[1], opened O_RDWR as rota's children have it, until SIGTERM or argv[3] lines.

Each line is `NAME 00000042 ....` of argv[4] bytes; argv[5] lines go out per write(2). At the end it writes the number of
lines to argv[2].
"""

import os
import signal
import sys

fifo, tally, limit, width, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
name = sys.argv[6] if len(sys.argv) > 6 else "line"
going = True


def stop(signum: int, frame: object) -> None:
    global going
    going = False


signal.signal(signal.SIGTERM, stop)
fd = os.open(fifo, os.O_RDWR)
count = 0
while going and count < limit:
    lines = []
    for number in range(count, min(count + batch, limit)):
        head = f"{name} {number:08} "
        lines.append(head + "." * (width - len(head) - 1) + "\n")
    data = "".join(lines).encode()
    while data:
        data = data[os.write(fd, data) :]
    count += len(lines)
with open(tally + ".tmp", "w") as file:
    file.write(str(count))
os.rename(tally + ".tmp", tally)
