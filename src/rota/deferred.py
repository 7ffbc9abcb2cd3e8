"""Modules of the standard library that others import for their rare paths, loaded when such a path is taken.

asyncio, logging, msgspec and click import inspect, traceback, subprocess and more for an error message or a call that is
never made: some 40 ms and 5 MB at each start of the daemon, which is what stands between a killed one and supervised apps,
and 20 ms of every command. A stand-in takes the module's place in sys.modules; the first attribute that is asked of it loads
the real one.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOT_NEEDED = ("ssl", "typing_extensions")
"""asyncio and msgspec do without when they cannot be imported; a unix socket needs no TLS, msgspec takes typing's own words."""

_CO_COROUTINE = 0x80
"""A code object's flag for `async def` (inspect.CO_COROUTINE)."""


def _cleandoc(doc: str) -> str:
    """What click asks of inspect for every option: of one line it is done here, more of them load the real one."""
    if "\n" not in doc:
        return doc.expandtabs().lstrip()
    from inspect import getdoc  # not known to the stand-in

    return str(getdoc.__globals__["cleandoc"](doc))


def _iscoroutinefunction(function: object) -> bool:
    """What asyncio asks of inspect for every signal handler."""
    while (wrapped := getattr(function, "__func__", None) or getattr(function, "func", None)) is not None:
        function = wrapped  # a method, or a functools.partial
    code = getattr(function, "__code__", None)
    return isinstance(code, CodeType) and bool(code.co_flags & _CO_COROUTINE)


DEFERRED: Mapping[str, Mapping[str, object]] = {
    "asyncio.sslproto": {},
    "inspect": {"cleandoc": _cleandoc, "iscoroutinefunction": _iscoroutinefunction},
    "msgspec.inspect": {},
    "platform": {"system": lambda: os.uname().sysname},
    "subprocess": {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3},
    "textwrap": {},
    "tokenize": {},
    "traceback": {},
}
"""Stand-ins, with what their importers ask of them while being imported."""


class Deferred(ModuleType):
    """Stands in for a module until something is asked of it."""

    def __getattr__(self, name: str) -> object:
        if self.__spec__ is not None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        __import__(self.__name__)
        real = sys.modules[self.__name__]
        self.__dict__.update(real.__dict__)  # with its __spec__
        return getattr(real, name)


@contextmanager
def deferring() -> Iterator[None]:
    """Put the stand-ins up while asyncio, logging and msgspec are imported. They stay; what was not needed may be imported
    afterwards by whoever does need it."""
    for name in NOT_NEEDED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # the documented way to make an import fail
    for name, known in DEFERRED.items():
        if name not in sys.modules:
            stand_in = sys.modules[name] = Deferred(name)
            stand_in.__dict__.update(known)
    yield
    for name in DEFERRED:
        package, _, word = name.rpartition(".")
        if package in sys.modules and not hasattr(sys.modules[package], word):
            setattr(sys.modules[package], word, sys.modules[name])
    for name in NOT_NEEDED:
        if sys.modules.get(name, ...) is None:
            del sys.modules[name]
