"""Which verb is answered by whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from rota.daemon.verbs import act, control, show, start
from rota.wire import messages

Handler: TypeAlias = Callable[..., Awaitable[Any]]

HANDLERS: dict[type, Handler] = {
    messages.Ping: control.ping,
    messages.StartSpecs: start.start_specs,
    messages.Act: act.act,
    messages.Find: show.find,
    messages.List: show.list_apps,
    messages.Jlist: show.jlist,
    messages.Ids: show.ids,
    messages.Pids: show.pids,
    messages.Kill: control.kill,
}
