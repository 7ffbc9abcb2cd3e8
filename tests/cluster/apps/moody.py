"""Well, until a file named after its number is there. The answer is the number."""

import http.server
import os
import sys

NUMBER = os.environ["NODE_APP_INSTANCE"]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = self.path == "/health" and os.path.exists(os.path.join(sys.argv[2], NUMBER))
        body = NUMBER.encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
