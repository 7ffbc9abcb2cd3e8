"""Listens, and says later by sd_notify that it is ready; never, where WORD is mute. The answer is the pid."""

import os
import socket
import sys
import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

from wsgi import app


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def ready():
    time.sleep(0.2)
    path = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", "\0" + path[1:] if path.startswith("@") else path)


if os.environ.get("WORD") != "mute":
    threading.Thread(target=ready, daemon=True).start()
make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
