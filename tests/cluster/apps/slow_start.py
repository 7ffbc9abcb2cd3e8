"""Says something first, and listens later. The answer is the pid."""

import sys
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

from wsgi import app


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


print("connected", flush=True)
time.sleep(0.3)
make_server("127.0.0.1", int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
