"""Says back what it reads, on stdout and in capitals on stderr."""

import sys

print("ready", flush=True)
for line in sys.stdin:
    print(line.rstrip("\n"), flush=True)
    print(line.rstrip("\n").upper(), file=sys.stderr, flush=True)
