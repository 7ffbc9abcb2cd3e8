"""Holds MEGABYTES, and has CHILDREN, who share them; or, with a third argument, hold them alone."""

import os
import sys
import time

megabytes, children, alone = int(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3


def hold() -> bytearray:
    return bytearray(os.urandom(1) * (megabytes << 20))


held = None if alone else hold()
for _ in range(children):
    if os.fork() == 0:
        if alone:
            held = hold()
        else:
            sum(held[::4096])  # mapped in every one of them
        time.sleep(600)
print("ready", flush=True)
time.sleep(600)
