"""Which verb is answered by whom. By name: a daemon that has just been started supervises before it can answer, and its verbs
and their words are loaded when somebody asks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from rota.daemon.installed import refuse_another
from rota.errors import RotaError
from rota.wire import messages

Handler: TypeAlias = Callable[..., Awaitable[Any]]

HANDLERS: dict[type, str] = {
    messages.Ping: "control.ping",
    messages.StartSpecs: "start.start_specs",
    messages.Act: "act.act",
    messages.Find: "show.find",
    messages.List: "show.list_apps",
    messages.Jlist: "show.jlist",
    messages.Ids: "show.ids",
    messages.Pids: "show.pids",
    messages.Kill: "control.kill",
    messages.Update: "control.update",
    messages.Describe: "inspect.describe",
    messages.Env: "inspect.env",
    messages.Why: "inspect.why",
    messages.Report: "inspect.report",
    messages.Runs: "runs.runs",
    messages.Budgets: "runs.budgets",
    messages.RunJob: "runs.run_job",
    messages.PauseJob: "runs.pause_job",
    messages.CancelRun: "runs.cancel_run",
    messages.Scale: "scale.scale",
    messages.Reset: "scale.reset",
    messages.Save: "dump.save",
    messages.ClearDump: "dump.cleardump",
    messages.Resurrect: "dump.resurrect",
    messages.LogSources: "logs.log_sources",
    messages.Flush: "logs.flush",
    messages.ReloadLogs: "logs.reload_logs",
    messages.Reconfigure: "logs.reconfigure",
    messages.Subscribe: "logs.subscribe",
    messages.SendSignal: "signals.send_signal",
    messages.SendLine: "signals.send_line",
    messages.Attach: "signals.attach",
    messages.Trigger: "signals.trigger",
}


def handler_of(kind: type) -> Handler | None:
    """Who answers requests of this type; None when nobody does.

    Raises:
        RotaError: it was not needed so far, and another version has been installed since; or a checkout has moved on.
    """
    name = HANDLERS.get(kind)
    if name is None:
        return None
    module, _, function = name.partition(".")
    path = f"rota.daemon.verbs.{module}"
    if path not in sys.modules:
        refuse_another()
    try:
        handler: Handler = getattr(importlib.import_module(path), function)
    except (ImportError, AttributeError) as error:
        message = f"rota's code has changed since this daemon was started ({error})"
        raise RotaError(message, "`rota update` replaces it; no app is restarted") from error
    return handler
