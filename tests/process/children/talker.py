"""A child on Node's IPC channel: sends its arguments as lines, then answers each line it gets with {"type": "echo", ...}.

Ends when the channel does.
"""

import json
import os
import socket
import sys

channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
for line in sys.argv[1:]:
    channel.sendall(line.encode() + b"\n")
for line in channel.makefile():
    channel.sendall(json.dumps({"type": "echo", "data": json.loads(line)}).encode() + b"\n")
