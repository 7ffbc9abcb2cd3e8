"""The `rota` program. Everyday verbs go straight to the daemon's socket as hand-written JSON and what it rendered is
printed; anything else, an unknown option, or no daemon is left to `rota.cli.main`. Nothing is imported here that an
interpreter has not loaded already, bar `_socket` and `_json`: a whole `rota list` costs little more than bare Python.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii as _quote

from rota.cli import terminal
from rota.home import Home, setting
from rota.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from collections.abc import Callable, Iterable, Mapping

PROTOCOL = 1
"""rota.wire.messages.PROTOCOL, which costs an import of msgspec; a test keeps the two equal."""

CONNECT_TIMEOUT = 5.0
"""Seconds a daemon may take to accept. Its answer may take as long as the stop it was asked for."""

SILENCE = 5.0
"""Seconds without an answer to a question, which takes milliseconds, until that is worth a word."""

INTERRUPTED = 130
BROKEN_PIPE = 141

QUESTIONS = frozenset(("list", "jlist", "describe", "ids", "pids", "env", "ping"))
"""Verbs that change nothing."""

_FILE_MARKS = (".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs", ".toml", "Procfile")


class NotSimple(Exception):
    """This command line needs the full parser."""


def main() -> int:
    """The console script: run the command line of this process and return its exit code."""
    return _run(sys.argv[1:], leave_at_once=True)


def runtime() -> int:
    """`rota-runtime`: the same as `rota runtime`."""
    return _run(["runtime", *sys.argv[1:]])


def _run(argv: list[str], leave_at_once: bool = False) -> int:
    try:
        if None in (sys.stdin, sys.stdout, sys.stderr):
            _fill_standard_streams()
        code = attempt(argv)
        if code is None:
            from rota.deferred import deferring

            with deferring():
                from rota.cli.main import main as full_main

            return full_main(argv)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        code = _complain(f"cannot write the answer: {error.strerror}")
    if leave_at_once:
        # Nothing is buffered and no thread runs: tearing the interpreter down would only cost time.
        os._exit(code)
    return code


def _fill_standard_streams() -> None:
    """Give a program that was started with 0, 1 or 2 closed (`rota start api >&-`) /dev/null in their places: or a socket
    of ours would take the number, and be printed to."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def attempt(argv: list[str]) -> int | None:
    """Serve the command line if it is a simple one and a daemon answers; None leaves it to the full program.

    Raises:
        OSError: our output cannot be written; BrokenPipeError when nobody reads it any more.
    """
    if argv in (["-v"], ["-V"], ["--version"]):
        terminal.write(1, f"{__version__}\n".encode())
        return 0
    if not argv or "_ROTA_COMPLETE" in os.environ:
        return None
    try:
        line = CommandLine(argv)
        serve = VERBS.get(line.verb)
        return serve(line) if serve else None
    except NotSimple:
        return None


class CommandLine:
    """Words and the few flags that the fast path knows; any other one makes the line not simple."""

    def __init__(self, argv: list[str]) -> None:
        words: list[str] = []
        self.silent = bool(setting("SILENT"))
        self.colourless = self.force = self.mini = False
        self.sort = ""
        rest = iter(argv)
        if not all(map(is_text, argv)):
            raise NotSimple("bytes")
        for word in rest:
            if not word.startswith("-") or (len(words) == 2 and words[0] == "scale" and word[1:].isdigit()):
                words.append(word)
            elif word in ("-s", "--silent"):
                self.silent = True
            elif word == "--no-color":
                self.colourless = True
            elif word in ("-f", "--force"):
                self.force = True
            elif word in ("-m", "--mini-list"):
                self.mini = True
            elif word == "--sort":
                self.sort = next(rest, "")
            else:
                raise NotSimple(word)
        self.verb, *self.words = words or [""]

    def take(self, least: int, most: int, flags: str = "") -> list[str]:
        """The words after the verb, when there are as many as the verb takes and no flag it does not know."""
        given = [name for name in ("force", "mini", "sort") if getattr(self, name)]
        if not least <= len(self.words) <= most or any(name not in flags for name in given):
            raise NotSimple(self.verb)
        return self.words


def _json(value: object) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote(k)}:{_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json, value)) + "]"
    return "null" if value is None else repr(value)


def _render(line: CommandLine) -> dict[str, object]:
    tty = terminal.is_terminal()
    colour = terminal.wants_colour(os.environ, tty, line.colourless)
    shown: dict[str, object] = {"width": terminal.width(), "colour": colour, "silent": line.silent, "live": tty}
    prefix = setting("PREFIX")
    return {**shown, "prefix": prefix} if prefix else shown


def directory() -> str:
    """The caller's directory as text. One that was removed, or whose name is not UTF-8, gives a path that leads nowhere:
    what needs none, as `rota stop api`, still works."""
    try:
        return os.fsencode(os.getcwd()).decode("utf-8", "replace")
    except OSError:
        return "/(the directory was removed)"


def request(line: CommandLine, verb: str, /, **fields: object) -> bytes:
    """One framed request that asks for rendered text."""
    body = {"verb": verb, "protocol": PROTOCOL, "version": __version__, "cwd": directory(), **fields}
    if "render" not in body:
        body["render"] = _render(line)
    payload = _json(body).encode("ascii")
    return b"J" + len(payload).to_bytes(4, "big") + payload


def _ask(framed: bytes) -> Socket:
    """A connection with the request on its way.

    Raises:
        NotSimple: no daemon took it, so that nothing was done yet.
    """
    from _socket import AF_UNIX, SOCK_STREAM, socket

    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.connect(Home().socket)
        connection.settimeout(None)
        connection.sendall(framed)
    except OSError as error:
        connection.close()
        raise NotSimple("no daemon") from error
    return connection


def _frames(connection: Socket) -> Iterable[tuple[bytes, bytes]]:
    buffer = bytearray()
    while True:
        while len(buffer) >= 5 and len(buffer) >= (end := 5 + int.from_bytes(buffer[1:5], "big")):
            yield bytes(buffer[:1]), bytes(buffer[5:end])
            del buffer[:end]
        try:
            data = connection.recv(1 << 16)
        except TimeoutError:
            _say_that_it_is_silent()
            connection.settimeout(None)
            continue
        except ConnectionResetError:
            return
        if not data:
            return
        buffer += data


def _show(line: CommandLine, verb: str, /, **fields: object) -> int:
    """Send one request and print the answer; the exit code is the daemon's.

    Raises:
        NotSimple: there was no answer, and asking again cannot do anything twice.
    """
    connection = _ask(request(line, verb, **fields))
    if verb in QUESTIONS:
        connection.settimeout(SILENCE)
    said = False
    try:
        for kind, payload in _frames(connection):
            if kind == b"x":
                return exit_code(payload[0])
            if kind == b"J":
                return _refused(payload)
            said = True
            terminal.write(1 if kind == b"o" else 2, payload)
    finally:
        connection.close()
    if verb in QUESTIONS and not said:
        raise NotSimple("no answer")
    return _complain("the daemon went away before it had finished", "`rota list` shows what was done")


def _say_that_it_is_silent() -> None:
    """A daemon that was stopped (SIGSTOP), or waits for a dead disk, still accepts: the system does it for it."""
    home = Home()
    why = f"it is very busy, or hangs; see {home.log}"
    try:
        with open(home.pid, "rb") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[:1] == [b"T"]:
                why = f"it was stopped by a signal; kill -CONT {pid} lets it go on"
    except (OSError, ValueError):
        pass
    terminal.write(2, f"[rota][WARN] the daemon has not answered for {SILENCE:g} s: {why}\n".encode())


def _refused(payload: bytes) -> int:
    """A daemon that did not understand enough of the request to render says why in JSON."""
    from json import loads

    done = loads(payload)
    return _complain(str(done.get("message") or "the daemon refused the request"), str(done.get("hint") or ""))


def _complain(message: str, hint: str = "") -> int:
    text = f"[rota][ERROR] {message}\n" + (f"  {hint}\n" if hint else "")
    try:
        terminal.write(2, text.encode())
    except OSError:
        return 1
    return 1


def exit_code(code: int) -> int:
    """PM2 knows one code for every failure; `ROTA_EXIT_CODES=rich` keeps ours (rota.errors)."""
    return code if code == 0 or os.environ.get("ROTA_EXIT_CODES") == "rich" else 1


def _known(line: CommandLine, target: str) -> bool:
    """Whether the daemon has an instance by that name, namespace or id."""
    connection = _ask(request(line, "find", render=None, target=target))
    try:
        for kind, payload in _frames(connection):
            if kind == b"J" and payload.startswith(b'{"reply":"data"'):
                return not payload.endswith(b'"value":[]}')
    finally:
        connection.close()
    return False


def _is_plain(target: str) -> bool:
    return target != "-" and not any(mark in target for mark in _FILE_MARKS)


def shell_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as JSON can carry it: what is not UTF-8 is left out."""
    return {name: value for name, value in environ.items() if is_text(name) and is_text(value)}


def is_text(value: str) -> bool:
    """Whether JSON, and so a request, can carry it: false for what was given as bytes that are not UTF-8."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def concurrency() -> int:
    """`ROTA_CONCURRENT_ACTIONS`, or 0 for the daemon's default."""
    given = setting("CONCURRENT_ACTIONS")
    return int(given) if given.isdigit() else 0


def _act(line: CommandLine) -> int:
    targets = line.take(1, 99, "force" if line.verb in ("restart", "reload") else "")
    if not all(map(_is_plain, targets)):
        raise NotSimple("a process file")
    return _show(
        line,
        "act",
        action="delete" if line.verb == "del" else line.verb,
        targets=targets,
        parallel=concurrency(),
        force=line.force,
    )


def _start(line: CommandLine) -> int:
    """Only what the daemon knows by name, namespace or id; scripts, files and options are for the full program."""
    targets = line.take(1, 99)
    if any("/" in target or "." in target or target == "-" for target in targets):
        raise NotSimple("a path")
    if not all(_known(line, target) for target in targets):
        raise NotSimple("not known yet")
    return _act(line)


def _list(line: CommandLine) -> int:
    line.take(0, 0, "mini sort")
    return _show(line, "list", sort=line.sort, mini=line.mini)


def _jlist(line: CommandLine) -> int:
    line.take(0, 0)
    return _show(line, "jlist", pretty=line.verb == "prettylist")


def _describe(line: CommandLine) -> int:
    return _show(line, "describe", target=line.take(1, 1)[0], local_env=shell_environment(os.environ))


def _scale(line: CommandLine) -> int:
    name, count = line.take(2, 2)
    return _show(line, "scale", name=name, count=count)


def _send_signal(line: CommandLine) -> int:
    signal, target = line.take(2, 2)
    return _show(line, "send_signal", signal=signal, target=target)


def _save(line: CommandLine) -> int:
    line.take(0, 0, "force")
    return _show(line, "save", force=line.force)


def _plain(verb: str, field: str = "", least: int = 0) -> Callable[[CommandLine], int]:
    def serve(line: CommandLine) -> int:
        words = line.take(least, 1 if field else 0)
        return _show(line, verb, **({field: words[0]} if words else {}))

    return serve


VERBS: dict[str, Callable[[CommandLine], int]] = {
    **dict.fromkeys(("list", "ls", "l", "ps", "status"), _list),
    **dict.fromkeys(("jlist", "prettylist"), _jlist),
    **dict.fromkeys(("stop", "restart", "reload", "delete", "del"), _act),
    "start": _start,
    **dict.fromkeys(("describe", "desc", "info", "show"), _describe),
    "scale": _scale,
    "sendSignal": _send_signal,
    **dict.fromkeys(("save", "dump"), _save),
    "ping": _plain("ping"),
    "id": _plain("ids", "name", 1),
    "pid": _plain("pids", "name"),
    "env": _plain("env", "target", 1),
    "flush": _plain("flush", "target"),
    "reset": _plain("reset", "target", 1),
    "reloadLogs": _plain("reload_logs"),
    "cleardump": _plain("cleardump"),
}

if __name__ == "__main__":
    sys.exit(main())
