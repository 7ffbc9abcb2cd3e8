"""Tornado. The answer is the pid. With a second argument so many processes are forked, as `server.start(N)` does."""

import asyncio
import os
import sys

import tornado.httpserver
import tornado.netutil
import tornado.process
import tornado.web


class Index(tornado.web.RequestHandler):
    def get(self):
        self.write(str(os.getpid()))


app = tornado.web.Application([("/", Index)], log_function=lambda handler: None)
sockets = tornado.netutil.bind_sockets(int(sys.argv[1]), "127.0.0.1")
if len(sys.argv) > 2:
    tornado.process.fork_processes(int(sys.argv[2]))


async def main():
    server = tornado.httpserver.HTTPServer(app)
    server.add_sockets(sockets)
    await asyncio.Event().wait()


asyncio.run(main())
