"""Which verb is answered by whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from rota.daemon.verbs import act, control, dump, inspect, logs, runs, scale, show, signals, start
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
    messages.Update: control.update,
    messages.Describe: inspect.describe,
    messages.Env: inspect.env,
    messages.Why: inspect.why,
    messages.Report: inspect.report,
    messages.Runs: runs.runs,
    messages.Budgets: runs.budgets,
    messages.RunJob: runs.run_job,
    messages.PauseJob: runs.pause_job,
    messages.CancelRun: runs.cancel_run,
    messages.Scale: scale.scale,
    messages.Reset: scale.reset,
    messages.Save: dump.save,
    messages.ClearDump: dump.cleardump,
    messages.Resurrect: dump.resurrect,
    messages.LogSources: logs.log_sources,
    messages.Flush: logs.flush,
    messages.ReloadLogs: logs.reload_logs,
    messages.Reconfigure: logs.reconfigure,
    messages.Subscribe: logs.subscribe,
    messages.SendSignal: signals.send_signal,
    messages.SendLine: signals.send_line,
    messages.Attach: signals.attach,
    messages.Trigger: signals.trigger,
}
