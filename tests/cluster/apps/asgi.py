"""An ASGI application. The answer is the pid."""

import os


async def app(scope, receive, send):
    if scope["type"] == "http":
        body = b"%d" % os.getpid()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
