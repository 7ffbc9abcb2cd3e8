"""Twisted. The answer is the pid."""

import os
import sys

from twisted.internet import reactor
from twisted.web import resource, server


class Index(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        return str(os.getpid()).encode()


reactor.listenTCP(int(sys.argv[1]), server.Site(Index()), interface="127.0.0.1")
reactor.run()
