"""What single servers need: sockets where they bind in C, and a last word to connections that are kept. See _rota_bootstrap.py.

Each hook gets the bootstrap and the module, right after that was executed.
"""

import os


def uvloop(boot, module):
    """libuv binds in C: give it sockets that are bound already."""
    loop = module.Loop
    create = loop.create_server

    async def create_server(self, factory, host=None, port=None, *args, **options):
        if args or options.get("sock") is not None or not port or os.getpid() != boot.pid:
            return await create(self, factory, host, port, *args, **options)
        import socket

        hosts = [host] if host is None or isinstance(host, str) else list(host)
        family, flags = options.pop("family", 0), options.pop("flags", socket.AI_PASSIVE)
        servers, seen = [], set()
        try:
            for each in hosts:
                for info in socket.getaddrinfo(each or None, port, family, socket.SOCK_STREAM, 0, flags):
                    if info[4] in seen:
                        continue
                    seen.add(info[4])
                    sock = socket.socket(info[0], socket.SOCK_STREAM)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if info[0] == socket.AF_INET6:
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    sock.bind(info[4])
                    servers.append(await create(self, factory, sock=sock, **options))
                    if boot.name_of(sock.fileno()) is not None:
                        boot.listens(sock.fileno())
        except BaseException:
            for server in servers:
                server.close()
            raise
        return servers[0] if len(servers) == 1 else _Servers(servers)

    loop.create_server = create_server


def uvicorn(boot, module):
    init = module.Server.__init__

    def new_init(self, config, *args, **options):
        init(self, config, *args, **options)

        def close_after_reply():
            header = (b"connection", b"close")
            config.encoded_headers.append(header)
            self.server_state.default_headers = list(self.server_state.default_headers) + [header]

        boot.on_drain.append(close_after_reply)

    module.Server.__init__ = new_init


def aiohttp(boot, module):
    prepare = module.StreamResponse.prepare

    async def new_prepare(self, request):
        if boot.draining:
            self.force_close()
        return await prepare(self, request)

    module.StreamResponse.prepare = new_prepare


def hypercorn(boot, module):
    headers = module.Config.response_headers

    def new_headers(self, protocol):
        given = headers(self, protocol)
        return list(given) + [(b"connection", b"close")] if boot.draining and protocol == "h11" else given

    module.Config.response_headers = new_headers


def tornado(boot, module):
    can = module.HTTP1Connection._can_keep_alive

    def new_can(self, *args):
        return can(self, *args) and not boot.draining

    module.HTTP1Connection._can_keep_alive = new_can


def wsgi(boot, module):
    """gunicorn's responses, whatever worker sends them."""
    init = module.Response.__init__

    def new_init(self, *args, **options):
        init(self, *args, **options)
        if boot.draining:
            self.force_close()

    module.Response.__init__ = new_init


def waitress(boot, module):
    build = module.Task.build_response_header

    def new_build(self):
        if boot.draining:
            self.request.headers["CONNECTION"] = "close"
        return build(self)

    module.Task.build_response_header = new_build


def twisted(boot, module):
    persists = module.HTTPChannel.checkPersistence

    def new_persists(self, request, version):
        if boot.draining:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return persists(self, request, version)

    module.HTTPChannel.checkPersistence = new_persists


def http_server(boot, module):
    """The standard library's server and those built on it, where they keep connections."""
    cls = module.BaseHTTPRequestHandler
    end_headers = cls.end_headers

    def new_end_headers(self):
        if boot.draining and not self.close_connection and hasattr(self, "_headers_buffer"):
            self.send_header("Connection", "close")  # which sets close_connection as well
        end_headers(self)

    cls.end_headers = new_end_headers


def django_server(boot, module):
    cleanup = module.ServerHandler.cleanup_headers

    def new_cleanup(self):
        cleanup(self)
        if boot.draining:
            self.headers["Connection"] = "close"
            self.request_handler.close_connection = True

    module.ServerHandler.cleanup_headers = new_cleanup


class _Servers(object):
    """Several servers that look like one: what create_server returns for a name with several addresses."""

    def __init__(self, servers):
        self._servers = servers

    @property
    def sockets(self):
        return [sock for server in self._servers for sock in server.sockets or ()]

    def close(self):
        for server in self._servers:
            server.close()

    async def wait_closed(self):
        for server in self._servers:
            await server.wait_closed()

    async def start_serving(self):
        for server in self._servers:
            await server.start_serving()

    async def serve_forever(self):
        await self.start_serving()
        try:
            await self._servers[0].serve_forever()
        finally:
            self.close()
            await self.wait_closed()

    def is_serving(self):
        return any(server.is_serving() for server in self._servers)

    def get_loop(self):
        return self._servers[0].get_loop()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()
        await self.wait_closed()


HOOKS = {
    "uvloop": uvloop,
    "uvicorn.server": uvicorn,
    "aiohttp.web_response": aiohttp,
    "hypercorn.config": hypercorn,
    "tornado.http1connection": tornado,
    "gunicorn.http.wsgi": wsgi,
    "waitress.task": waitress,
    "twisted.web.http": twisted,
    "http.server": http_server,
    "django.core.servers.basehttp": django_server,
}
