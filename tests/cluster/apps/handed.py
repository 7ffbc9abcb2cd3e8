"""A server that is given its socket by LISTEN_FDS, and ends gracefully. The answer is the pid."""

import os
import signal
import socket
import sys

assert os.environ["LISTEN_FDS"] == "1"
assert int(os.environ["LISTEN_PID"]) == os.getpid()
server = socket.socket(fileno=3)
server.settimeout(0.02)
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
signal.signal(signal.SIGINT, lambda *_: ending.append(1))
while not ending:
    try:
        client, _ = server.accept()
    except TimeoutError:
        continue
    with client:
        client.recv(65536)
        body = b"%d" % os.getpid()
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
sys.exit(0)
