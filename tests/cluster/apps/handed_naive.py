"""A loop around accept() on a socket given by LISTEN_FDS. The answer is the pid."""

import os
import socket

server = socket.socket(fileno=3)
while True:
    client, _ = server.accept()
    with client:
        client.recv(65536)
        body = b"%d" % os.getpid()
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
