"""The progress lines that scripts written for PM2 match on, word for word after the prefix."""

from __future__ import annotations

import pytest

from rota.process.state import Down
from rota.render import says
from rota.render.ids import ids_text, pids_text
from rota.render.says import Line, marked
from rota.render.text import Style

from .records import app

PM2 = "[PM2] "


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (says.starting("/srv/x.py", "fork", 1), "[PM2] Starting /srv/x.py in fork_mode (1 instance)"),
        (says.starting("/srv/x.py", "cluster", 4), "[PM2] Starting /srv/x.py in cluster_mode (4 instances)"),
        (says.starting("/srv/x.py", "fork", 0), "[PM2] Starting /srv/x.py in fork_mode (0 instance)"),
        (says.done(), "[PM2] Done."),
        (says.started_again(), "[PM2] Process successfully started"),
        (says.not_running_yet(["a", "b"]), "[PM2][WARN] Applications a, b not running, starting..."),
        (says.launched("a", 1), "[PM2] App [a] launched (1 instances)"),
        (
            says.waiting_until_ready("a"),
            "[PM2][WARN] App a has option 'wait_ready' set, waiting for app to be ready...",
        ),
        (says.environment_undefined("x"), "[PM2][WARN] Environment [x] is not defined in process file"),
        (
            says.already_launched(),
            "[PM2][ERROR] Script already launched, add -f option to force re-execution",
        ),
        (says.script_not_found("/x.py"), "[PM2][ERROR] Script not found: /x.py"),
        (says.script_not_found("/x.py", from_file=True), "[PM2][ERROR] Error: Script not found: /x.py"),
        (says.no_script(), "[PM2][ERROR] Error: No script path - aborting"),
        (says.cron_armed("0 2 * * *"), "[PM2] cron restart at 0 2 * * *"),
        (says.cron_disabled(), "[PM2] disabling cron restart"),
        (says.folder_missing("/d"), "[PM2][WARN] Folder does not exist: /d"),
        (says.folder_created("/d"), "[PM2] Creating folder: /d"),
        (says.settings_written("/x.json"), "[PM2] Writing configuration to /x.json"),
        (says.streaming([0, 1]), "[PM2][INFO] Log streaming apps id: 0, 1, exit with Ctrl-C"),
        (says.serving("/srv", 8080), "[PM2] Serving /srv on port 8080"),
        (says.update_env_hint(), "Use --update-env to update environment variables"),
        (
            says.applying("restart", "api", [0, 1]),
            "[PM2] Applying action restartProcessId on app [api](ids: [ 0, 1 ])",
        ),
        (says.applying("stop", "0", [0], typed=True), "[PM2] Applying action stopProcessId on app [0](ids: [ '0' ])"),
        (says.acted("api", 0), "[PM2] [api](0) ✓"),
        (says.cron_still_up("a", "* * * * *"), "[PM2][WARN] App a stopped but CRON RESTART is still UP * * * * *"),
        (
            says.reload_locked(28.2),
            "[PM2][ERROR] Reload already in progress, please try again in 29 seconds or use --force",
        ),
        (says.scaling_up(), "[PM2] Scaling up application"),
        (says.nothing_to_scale(), "[PM2][ERROR] Nothing to do"),
        (says.resetting(3), "[PM2] Resetting meta for process id 3"),
        (says.signalling("api"), "[PM2] Sending signal to process name api"),
        (says.signalling("0"), "[PM2] Sending signal to process id 0"),
        (says.signalled("SIGUSR2", 0), "successfully sent signal SIGUSR2 to process id 0"),
        (says.triggered(1, "hello"), "1 processes have received command hello"),
        (says.action_answered("api", 0, "default", '{"a":1}'), '[api:0:default]={"a":1}'),
        (says.not_found("nope"), "[PM2][ERROR] Process or Namespace nope not found"),
        (
            says.not_found("aip", ["api"]),
            "[PM2][ERROR] Process or Namespace aip not found — did you mean api?",
        ),
        (says.id_unknown("666"), "[PM2][ERROR] 666 : id unknown"),
        (says.none_found(), "[PM2][WARN] No process found"),
        (says.does_not_exist("x"), "[PM2][WARN] x doesn't exist"),
        (says.scale_unknown("x"), "[PM2][ERROR] Application x not found"),
        (says.name_unknown(), "Unknown process name"),
        (says.signal_id_unknown("99"), "99 id unknown"),
        (says.send_id_unknown("99"), "[PM2][ERROR] Error: Process with ID <99> unknown."),
        (says.attach_needs_id(), "pm_id must be a process number (not a process name)"),
        (says.nobody_triggered(), "Not any process has received a command (offline or unexistent)"),
        (says.action_unknown("act", "api"), "Action doesn't exist act for api"),
        (
            says.env_needs_file(),
            "[PM2][ERROR] Using --env [env] without passing the ecosystem.config.js does not work",
        ),
        (says.saving(), "[PM2] Saving current process list..."),
        (says.saved("/h/dump"), "[PM2] Successfully saved in /h/dump"),
        (says.dump_cleared("/h/dump"), "[PM2] Successfully created /h/dump"),
        (says.nothing_to_save(PM2)[0], "[PM2][WARN] PM2 is not managing any process, skipping save..."),
        (says.resurrecting(), "[PM2] Resurrecting"),
        (says.restoring("/h/dump"), "[PM2] Restoring processes located in /h/dump"),
        (says.restored("/srv/x.py"), "[PM2] Process /srv/x.py restored"),
        (says.dump_unparsable("/h/dump"), "[PM2][ERROR] Failed to parse dump file in /h/dump"),
        (says.dump_unreadable("/h/dump"), "[PM2][ERROR] Failed to read dump file in /h/dump"),
        (says.no_dump(), "[PM2][ERROR] No processes saved; DUMP file doesn't exist"),
        (says.flushing_daemon_log("/h/pm2.log"), "[PM2] Flushing /h/pm2.log"),
        (says.flushing("/a")[0], "[PM2] Flushing:"),
        (says.flushing("/a")[1], "[PM2] /a"),
        (says.flushed(), "[PM2] Logs flushed"),
        (says.reopening_logs(), "Reloading all logs..."),
        (says.logs_reopened(), "All logs reloaded"),
        (
            says.tailing(15, "all"),
            "[TAILING] Tailing last 15 lines for [all] processes (change the value with --lines option)",
        ),
        (
            says.tailing(3, "api"),
            "[TAILING] Tailing last 3 lines for [api] process (change the value with --lines option)",
        ),
        (says.tail_heading("/h/x.log", 15), "/h/x.log last 15 lines:"),
        (says.setting_restarted("app1"), "[PM2] Module app1 restarted"),
        (says.setting_changed(), "[PM2] Setting changed"),
        (says.all_stopped(), "[PM2] [v] All Applications Stopped"),
        (says.daemon_stopped(PM2), "[PM2] [v] PM2 Daemon Stopped"),
        (says.spawning_daemon("/h", PM2), "[PM2] Spawning PM2 daemon with pm2_home=/h"),
        (says.daemonized(PM2), "[PM2] PM2 Successfully daemonized"),
        (says.updated(PM2), ">>>>>>>>>> PM2 updated"),
        (says.pong(), "{ msg: 'pong' }"),
        (says.file_generated("/x"), "File /x generated"),
    ],
)
def test_pm2s_words(line: Line | str, text: str) -> None:
    assert marked(line, PM2) == text


def test_our_prefix_unless_asked() -> None:
    assert marked(says.done()) == "[rota] Done."
    assert marked(says.none_found()) == "[rota][WARN] No process found"
    assert marked(says.daemon_stopped()) == "[rota] [v] rota Daemon Stopped"


def test_no_prefix_at_all() -> None:
    assert marked(says.done(), "") == "Done."
    assert marked(says.none_found(), "") == "[WARN] No process found"
    assert marked(says.updated("")) == ">>>>>>>>>> rota updated"


def test_only_the_prefix_is_coloured() -> None:
    assert marked(says.id_unknown("9"), style=Style(True)) == "\x1b[31m[rota][ERROR]\x1b[0m 9 : id unknown"


def test_what_a_stop_could_not_end_is_named() -> None:
    line = says.left_over("api", 0, [7, 8])
    assert line == ("[api](0) 2 processes still alive after SIGKILL: 7, 8", "error")


def test_ids() -> None:
    assert ids_text([]) == "[]"
    assert ids_text([0]) == "[ 0 ]"
    assert ids_text([0], typed=True) == "[ '0' ]"
    assert ids_text(range(8)) == "[\n  0, 1, 2, 3,\n  4, 5, 6, 7\n]"


def test_pids() -> None:
    assert pids_text([app(id=0), app(id=1, actual=Down())]) == "28949\n0"
    assert pids_text([]) == ""
