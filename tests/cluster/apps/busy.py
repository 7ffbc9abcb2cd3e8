"""Works all the time, and answers. The answer is the pid."""

import sys
import threading
from wsgiref.simple_server import make_server

from wsgi import app


def work():
    while True:
        pass


server = make_server("127.0.0.1", int(sys.argv[1]), app)
threading.Thread(target=work, daemon=True).start()
server.serve_forever()
