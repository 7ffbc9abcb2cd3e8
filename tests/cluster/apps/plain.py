"""The standard library's server. The answer is `pid word`."""

import http.server
import os
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path[6:]))
        body = b"%d %s" % (os.getpid(), os.environ.get("WORD", "").encode())
        word = os.environ.get("WORD")
        self.send_response(503 if word == "ill" or (self.path == "/health" and word == "sick") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if os.environ.get("WORD") == "broken":
    sys.exit("this version does not start")
if os.environ.get("WORD") == "deaf":
    print("waiting for a database", flush=True)
    time.sleep(1000)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
