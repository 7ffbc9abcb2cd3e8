"""The part of the bootstrap that modern Pythons load: sockets, servers and the way out. See sitecustomize.py beside it."""

import os
import sys

import _rota_servers


class Bootstrap(object):
    """All that is known: the control socket, and our listening sockets by inode."""

    def __init__(self, fd):
        import _socket

        self.c = _socket
        self.pid = os.getpid()
        os.set_inheritable(fd, False)
        self.control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fileno=fd)
        self.names = {}  # inode of a listening socket of ours -> its name
        self.listening = set()  # inodes on which the app has called listen()
        self.inert = {}  # inode of a socket that took the place of one of ours -> the address of that one
        self.draining = False
        self.on_drain = []
        for item in filter(None, os.environ.pop("ROTA_LISTENERS", "").split("\t")):
            inode, _, name = item.partition("=")  # what a parent of ours bound, for us to listen on
            self.names[int(inode)] = name
        self.say("hello\t%d\t%d.%d" % (self.pid, sys.version_info[0], sys.version_info[1]))

    # --- talking ---

    def say(self, text):
        try:
            self.control.send(text.encode("utf-8"))
        except OSError:
            pass  # rota is not there: the app goes on as it would without

    def ask(self, text):
        """The words of the answer, and a descriptor or -1. Raises OSError when nobody answers."""
        c = self.c
        ours, theirs = c.socketpair(c.AF_UNIX, c.SOCK_SEQPACKET)
        try:
            ours.settimeout(15.0)
            rights = theirs.fileno().to_bytes(4, sys.byteorder)
            self.control.sendmsg([text.encode("utf-8")], [(c.SOL_SOCKET, c.SCM_RIGHTS, rights)])
            theirs.close()
            data, ancillary, _, _ = ours.recvmsg(4096, c.CMSG_SPACE(4), getattr(c, "MSG_CMSG_CLOEXEC", 0))
        finally:
            ours.close()
            theirs.close()
        fd = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else -1
        if fd >= 0:
            os.set_inheritable(fd, False)
        return data.decode("utf-8").split("\t"), fd

    # --- listening sockets ---

    def obtain(self, sock, address):
        """Put a socket of rota's in the place of this one. False: bind it yourself."""
        c = self.c
        if os.getpid() != self.pid or sock.type & 0xF != c.SOCK_STREAM or sock.family not in (c.AF_INET, c.AF_INET6):
            return False
        if not isinstance(address, tuple) or not isinstance(address[1], int) or not 0 < address[1] < 65536:
            return False
        v6 = sock.family == c.AF_INET6
        host = self.numeric(address[0], sock.family)
        only = sock.getsockopt(c.IPPROTO_IPV6, c.IPV6_V6ONLY) if v6 else 0
        words = ("bind", self.pid, int(sock.family), int(c.SOCK_STREAM), host, address[1], int(bool(only)))
        try:
            answer, fd = self.ask("\t".join(str(word) for word in words))
        except OSError:
            return False
        if answer[0] == "no":
            number = int(answer[1])
            raise OSError(number, os.strerror(number))
        if answer[0] != "ok" or fd < 0:
            return False
        try:
            self.copy_options(sock, fd)
            os.dup2(fd, sock.fileno(), os.get_inheritable(sock.fileno()))
        finally:
            os.close(fd)
        self.names[os.fstat(sock.fileno()).st_ino] = answer[1]
        return True

    def numeric(self, host, family):
        c = self.c
        if host == "":
            return "::" if family == c.AF_INET6 else "0.0.0.0"
        return c.getaddrinfo(host, None, family, c.SOCK_STREAM)[0][4][0]

    def copy_options(self, sock, fd):
        """What the app set on its socket holds for the connections accepted from ours."""
        c = self.c
        ours = c.socket(sock.family, c.SOCK_STREAM, 0, fileno=os.dup(fd))
        try:
            for level, option in (
                (c.IPPROTO_TCP, c.TCP_NODELAY),
                (c.SOL_SOCKET, c.SO_KEEPALIVE),
                (c.IPPROTO_TCP, getattr(c, "TCP_DEFER_ACCEPT", None)),
                (c.IPPROTO_TCP, getattr(c, "TCP_FASTOPEN", None)),
            ):
                if option is None:
                    continue
                try:
                    value = sock.getsockopt(level, option)
                    if value:
                        ours.setsockopt(level, option, value)
                except OSError:
                    pass
        finally:
            ours.close()

    def name_of(self, fd):
        """The name of the listening socket that this descriptor is, None when it is none of ours."""
        try:
            return self.names.get(os.fstat(fd).st_ino)
        except OSError:
            return None

    def listens(self, fd):
        inode = os.fstat(fd).st_ino
        self.listening.add(inode)
        self.say("listening\t%d\t%s" % (os.getpid(), self.names[inode]))

    # --- leaving ---

    def drain(self, *_):
        """Accept no more: every descriptor of our sockets becomes one on which nobody ever calls. Runs in a signal handler."""
        if not self.draining:
            self.draining = True
            for told in self.on_drain:
                try:
                    told()
                except Exception:
                    pass  # a server of another version; its connections end at their own pace
        import select

        polls, ours = [], []
        for text in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink("/proc/self/fd/" + text)
            except OSError:
                continue
            if target == "anon_inode:[eventpoll]":
                polls.append(int(text))
            elif target.startswith("socket:[") and int(target[8:-1]) in self.names:
                ours.append(int(text))
        for fd in ours:
            for poll in polls:
                self.forget(select, poll, fd)
            self.silence(fd)
        self.say("drained\t%d" % os.getpid())

    def forget(self, select, poll, fd):
        # Others hold the description, so that closing alone would leave it in the set, ready for ever.
        try:
            epoll = select.epoll.fromfd(os.dup(poll))
        except OSError:
            return
        try:
            epoll.unregister(fd)
        except (OSError, ValueError):
            pass
        finally:
            epoll.close()

    def silence(self, fd):
        c = self.c
        inert = c.socket(c.AF_UNIX, c.SOCK_STREAM)
        try:
            inert.bind("")
            inert.listen(1)
            inert.setblocking(False)
            self.inert[os.fstat(inert.fileno()).st_ino] = self.address_of(fd)
            os.dup2(inert.fileno(), fd, os.get_inheritable(fd))
        finally:
            inert.close()

    def address_of(self, fd):
        sock = self.c.socket(fileno=os.dup(fd))
        try:
            return sock.getsockname()
        finally:
            sock.close()

    # --- hooks ---

    def hook_socket(self, module):
        boot, cls, c = self, module.socket, self.c
        bind, listen, accept, getsockname = cls.bind, cls.listen, cls.accept, cls.getsockname
        getsockopt, setblocking, settimeout = cls.getsockopt, cls.setblocking, cls.settimeout

        def new_bind(self, address):
            if not boot.obtain(self, address):
                bind(self, address)

        def new_listen(self, *backlog):
            if boot.names and boot.name_of(self.fileno()) is not None:
                boot.listens(self.fileno())  # it listens already, with a longer queue than most ask for
                return
            listen(self, *backlog)

        def new_accept(self):
            # The description is non-blocking for all who share it; a socket that is to block waits here instead.
            while True:
                try:
                    return accept(self)
                except BlockingIOError:
                    if self.gettimeout() is not None or not (boot.draining or boot.name_of(self.fileno())):
                        raise
                import select

                poll = select.poll()
                poll.register(self.fileno(), select.POLLIN)
                poll.poll(None if not boot.draining else 1000)

        def new_getsockopt(self, level, option, *size):
            value = getsockopt(self, level, option, *size)
            if option == c.SO_ACCEPTCONN and level == c.SOL_SOCKET and boot.names and value:
                inode = os.fstat(self.fileno()).st_ino
                if inode in boot.names and inode not in boot.listening:
                    return 0  # as the app sees it, nobody has called listen() yet
            return value

        def new_getsockname(self):
            # A server that closes looks here whether there is a file to remove.
            if boot.inert:
                former = boot.inert.get(os.fstat(self.fileno()).st_ino)
                if former is not None:
                    return former
            return getsockname(self)

        def keep_flag(self):
            if boot.names and boot.name_of(self.fileno()) is not None:
                os.set_blocking(self.fileno(), False)

        def new_setblocking(self, flag):
            setblocking(self, flag)
            if flag:
                keep_flag(self)

        def new_settimeout(self, value):
            settimeout(self, value)
            if value is None:
                keep_flag(self)

        cls.bind, cls.listen, cls.accept, cls.getsockname = new_bind, new_listen, new_accept, new_getsockname
        cls.getsockopt, cls.setblocking, cls.settimeout = new_getsockopt, new_setblocking, new_settimeout

    # --- processes that go on as the app ---

    def words_for_child(self):
        """The environment that makes another interpreter a part of this app."""
        former = os.environ.get("PYTHONPATH", "")
        return {
            "ROTA_FORMER_PYTHONPATH": former,
            "ROTA_CONTROL_FD": str(self.control.fileno()),
            "ROTA_LISTENERS": "\t".join("%d=%s" % item for item in self.names.items()),
            "PYTHONPATH": os.path.dirname(os.path.abspath(__file__)) + (os.pathsep + former if former else ""),
        }

    def exposed(self, function):
        """The function, with our words in the environment while it runs."""
        boot = self

        def exposing(*args, **options):
            words, fd = boot.words_for_child(), boot.control.fileno()
            former = words["ROTA_FORMER_PYTHONPATH"]
            os.environ.update(words)
            inheritable = os.get_inheritable(fd)
            os.set_inheritable(fd, True)
            try:
                return function(*args, **options)
            finally:
                os.set_inheritable(fd, inheritable)
                for name in words:
                    os.environ.pop(name, None)
                if former:
                    os.environ["PYTHONPATH"] = former

        return exposing

    def hook_multiprocessing(self, module):
        """A server's workers that are started as fresh interpreters listen on what their parent bound: they are ours, too."""
        boot, spawn = self, module.spawnv_passfds
        exposed = boot.exposed(lambda path, args, fds: spawn(path, args, list(fds) + [boot.control.fileno()]))

        def new_spawn(path, args, passfds):
            if not boot.names or not any("multiprocessing-fork" in str(arg) for arg in args):
                return spawn(path, args, passfds)
            return exposed(path, args, passfds)

        module.spawnv_passfds = new_spawn

    def hook_django_reloader(self, module):
        """The process that serves is a child, started again whenever a file changes."""
        module.restart_with_reloader = self.exposed(module.restart_with_reloader)

    def hook_werkzeug_reloader(self, module):
        module.ReloaderLoop.restart_with_reloader = self.exposed(module.ReloaderLoop.restart_with_reloader)

    def hook_exec(self):
        """Whoever replaces this very process goes on as the app: start scripts, servers that reload themselves."""
        boot, execv, execve = self, os.execv, os.execve

        def new_execv(path, args):
            if os.getpid() != boot.pid:
                return execv(path, args)
            return boot.exposed(execv)(path, args)

        def new_execve(path, args, env):
            if os.getpid() != boot.pid:
                return execve(path, args, env)
            words = boot.words_for_child()
            former = env.get("PYTHONPATH", "")
            words["ROTA_FORMER_PYTHONPATH"] = former
            words["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__)) + (os.pathsep + former if former else "")
            return boot.exposed(execve)(path, args, dict(env, **words))

        os.execv, os.execve = new_execv, new_execve

    # --- importing ---

    def start(self):
        import signal

        hooks = {
            "socket": self.hook_socket,
            "multiprocessing.util": self.hook_multiprocessing,
            "django.utils.autoreload": self.hook_django_reloader,
            "werkzeug._reloader": self.hook_werkzeug_reloader,
        }
        for name, hook in _rota_servers.HOOKS.items():
            hooks[name] = lambda module, hook=hook: hook(self, module)
        for name in list(hooks):
            if name in sys.modules:
                hooks.pop(name)(sys.modules[name])
        sys.meta_path.insert(0, _Finder(hooks))
        self.hook_exec()
        # Ignored by default: harmless where nobody listens, and no thread is needed.
        # Interrupting: a parent that waits for its workers, or a thread, would else run the handler much later.
        signal.signal(signal.SIGURG, self.drain)


class _Finder(object):
    """Calls a hook after the module of its name was executed; finds nothing by itself."""

    def __init__(self, hooks):
        self.hooks = hooks

    def find_spec(self, name, path=None, target=None):
        if name not in self.hooks:
            return None
        hook = self.hooks.pop(name)
        if not self.hooks and self in sys.meta_path:
            sys.meta_path.remove(self)
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                return self.hooked(spec, hook)
        return None

    def hooked(self, spec, hook):
        execute = getattr(spec.loader, "exec_module", None)
        if execute is None:
            return spec

        def exec_module(module):
            execute(module)
            try:
                hook(module)
            except Exception:
                pass  # another version than we know: it works as it would without us

        try:
            spec.loader.exec_module = exec_module
        except AttributeError:
            pass
        return spec
