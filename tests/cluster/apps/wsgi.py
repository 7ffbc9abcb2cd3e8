"""A WSGI application. The answer is the pid."""

import os


def app(environ, start):
    body = b"%d" % os.getpid()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
