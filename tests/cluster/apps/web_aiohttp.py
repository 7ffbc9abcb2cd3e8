"""aiohttp. The answer is the pid."""

import os
import sys

from aiohttp import web


async def index(request):
    return web.Response(text=str(os.getpid()))


app = web.Application()
app.router.add_get("/", index)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
