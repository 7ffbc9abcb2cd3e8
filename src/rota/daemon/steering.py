"""What the daemon's own environment decides: `ROTA_*`, or the `PM2_*` variable of the same name (docs/pm2.md lists them).

Read once, at start. It is the environment of the command that started the daemon, or of the boot unit; keeper and
`rota update` hand it on. A value that means nothing is logged, and the default holds.
"""

from __future__ import annotations

import logging
import shlex
import signal as signals
from typing import TYPE_CHECKING

from rota.home import setting
from rota.process.defaults import Defaults

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("rota.settings")

WORKER_INTERVAL = 1.0
"""Seconds between looks at the memory of apps that have a limit."""
_NO = frozenset(("", "0", "false", "no", "off"))


def defaults(environ: Mapping[str, str] | None = None) -> Defaults:
    """What holds for every app that does not say otherwise."""
    plain = Defaults()
    return Defaults(
        kill_timeout=seconds("KILL_TIMEOUT", plain.kill_timeout, environ),
        stop_signal=_signal("KILL_SIGNAL", plain.stop_signal, environ),
        shutdown_with_message=setting("KILL_USE_MESSAGE", environ=environ).casefold() not in _NO,
        backoff_reset=seconds("EXP_BACKOFF_RESET_TIMER", plain.backoff_reset, environ),
        listen_timeout=seconds("GRACEFUL_LISTEN_TIMEOUT", plain.listen_timeout, environ),
        instance_var=setting("PROCESS_INSTANCE_VAR", environ=environ),
        node_options=_words("NODE_OPTIONS", environ),
    )


def seconds(name: str, default: float, environ: Mapping[str, str] | None = None) -> float:
    """A variable in milliseconds, as PM2 has them all."""
    text = setting(name, environ=environ)
    if not text:
        return default
    if text.isascii() and text.isdigit():
        return int(text) / 1000
    _complain(name, "a number of milliseconds")
    return default


def _signal(name: str, default: str, environ: Mapping[str, str] | None) -> str:
    text = setting(name, environ=environ).upper()
    if not text:
        return default
    word = text if text.startswith("SIG") else f"SIG{text}"
    if word in signals.Signals.__members__:
        return word
    _complain(name, "the name of a signal")
    return default


def _words(name: str, environ: Mapping[str, str] | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(setting(name, environ=environ)))
    except ValueError:
        _complain(name, "a list of words: a quote is left open")
        return ()


def _complain(name: str, wanted: str) -> None:
    log.error("ROTA_%s (or its PM2 twin) is not %s; the default holds", name, wanted)
