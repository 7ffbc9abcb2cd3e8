"""jlist: PM2's record shape, and no secret that was not asked for."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from rota.jobs.spec import JobSpec
from rota.process.record import Metric, Record, RunSummary, Usage
from rota.process.spec import LogSpec, RestartSpec, StopSpec, WatchSpec
from rota.process.state import Backoff, Down, Exit, Failed, Stopping
from rota.render.jlist import jlist

from .golden import same_as
from .records import NOW, app, job

SECRETS = {"NODE_ENV": "production", "DATABASE_URL": "postgres://u:hunter2@db", "PORT": "8000"}

CLI_START_ORDER = """
name filter_env namespace args env instances vizion autostart autorestart watch instance_var pmx automation treekill
username windowsHide kill_retry_time node_args pm_exec_path pm_cwd exec_interpreter exec_mode
pm_out_log_path pm_err_log_path pm_pid_path km_link vizion_running NODE_APP_INSTANCE unique_id status
pm_uptime axm_actions axm_monitor axm_options axm_dynamic created_at pm_id restart_time unstable_restarts version
"""


def one(record: Record, show_env: bool = False) -> dict[str, Any]:
    (shown,) = json.loads(jlist([record], show_env))
    assert isinstance(shown, dict)
    return shown


def test_a_plain_app() -> None:
    same_as("jlist-plain.json", json.dumps(one(app(spec={"args": ("a", "b c")})), indent=2))


def test_an_app_with_every_option() -> None:
    record = app(
        "web",
        id=3,
        number=2,
        exec_mode="cluster",
        instances=4,
        watching=True,
        unstable=1,
        restarts=7,
        delay=0.3375,
        restart_reason="out of memory",
        last_exit=Exit(at=NOW - 95, code=3),
        log_path="/var/log/web.log",
        node_version="20.20.2",
        actions=({"action_name": msgspec.Raw(b'"hello"'), "arity": msgspec.Raw(b"0")},),
        metrics={"Heap Size": Metric(value="4.38", unit="MiB", type="internal/v8/heap"), "hits": Metric(value=5)},
        options={"tracing": msgspec.Raw(b'{"enabled":false}')},
        spec={
            "namespace": "shop",
            "env": {"NODE_ENV": "staging", "PORT": "8002"},
            "env_variants": {"production": SECRETS},
            "increment_var": "PORT",
            "instances": 4,
            "instances_given": True,
            "instance_var": "WORKER",
            "interpreter_args": ("-O",),
            "restart": RestartSpec(
                stop_exit_codes=(0, 3), min_uptime=5.0, max_restarts=3, restart_delay=0.25, exp_backoff=0.1
            ),
            "stop": StopSpec(kill_timeout=3.0, tree=False, with_message=True),
            "max_memory": 314_572_800,
            "cron_restart": "0 3 * * *",
            "wait_ready": True,
            "listen_timeout": 8.0,
            "watch": WatchSpec(paths=("/srv/shop/server", "/etc/shop"), ignore=("*.log",), delay=1.0),
            "logs": LogSpec(date_format="YYYY", json=True, log_file=""),
            "uid": "1000",
            "gid": "staff",
            "port": 8000,
            "version": "2.0.1",
            "extra": {"vizion": msgspec.Raw(b"false"), "trace": msgspec.Raw(b"true")},
        },
    )
    same_as("jlist-full.json", json.dumps(one(record), indent=2))


def test_a_job_is_a_record_with_cron_and_no_autorestart() -> None:
    same_as("jlist-job.json", json.dumps(one(job()), indent=2))


def test_one_line_in_the_order_of_ids() -> None:
    text = jlist([app("b", id=2), app("a", id=10), app("c", id=0)])
    assert b"\n" not in text
    assert [record["pm_id"] for record in json.loads(text)] == [0, 2, 10]


def test_no_records_is_an_empty_array() -> None:
    assert jlist([]) == b"[]"


def test_keys_stand_in_pm2s_order() -> None:
    record = one(app(spec={"args": ("x",), "instances_given": True}))
    assert list(record) == ["pid", "name", "pm2_env", "pm_id", "monit", "rota"]
    expected = CLI_START_ORDER.split()
    ours = {"min_uptime", "max_restarts", "kill_timeout"}
    assert [key for key in record["pm2_env"] if key not in ours] == expected


def test_only_harmless_values_are_shown_unless_asked() -> None:
    record = app(spec={"env": SECRETS, "env_variants": {"production": SECRETS}})
    assert one(record)["pm2_env"]["env"] == {"NODE_ENV": "production", "PORT": "8000"}
    assert b"hunter2" not in jlist([record])
    assert one(record, show_env=True)["pm2_env"]["env"] == SECRETS
    assert one(record, show_env=True)["pm2_env"]["env_production"] == SECRETS


def test_the_shells_environment_never_shows() -> None:
    assert b"hunter2" not in jlist([app(spec={"shell_env": SECRETS})], show_env=True)


def test_death_by_signal_has_no_exit_code() -> None:
    record = one(app(actual=Down(), last_exit=Exit(at=NOW, signal=9)))
    assert record["pm2_env"]["exit_code"] is None
    assert record["rota"]["last_exit"] == {"at": NOW * 1000, "code": None, "signal": "SIGKILL", "known": True}


def test_an_exit_nobody_saw_is_unknown() -> None:
    record = one(app(actual=Down(), last_exit=Exit(at=NOW, known=False)))
    assert (record["pm2_env"]["exit_code"], record["rota"]["last_exit"]["known"]) == (None, False)


def test_before_the_first_exit_there_is_no_exit_code() -> None:
    assert "exit_code" not in one(app())["pm2_env"]


def test_waiting_for_a_restart_has_no_pid_and_a_time() -> None:
    record = one(app(actual=Backoff(until=NOW + 0.5, delay=0.5, reason="exit code 1")))
    assert (record["pid"], record["pm2_env"]["status"], record["monit"]["memory"]) == (0, "waiting restart", 0)
    assert (record["rota"]["restart_at"], record["rota"]["reason"]) == (NOW * 1000 + 500, "exit code 1")


def test_given_up_says_why() -> None:
    record = one(app(actual=Failed(reason="16 unstable restarts")))
    assert (record["pm2_env"]["status"], record["rota"]["reason"]) == ("errored", "16 unstable restarts")


def test_remnants_that_are_being_stopped_still_count() -> None:
    record = one(app(actual=Stopping(gen=1, then="down", since=NOW)))
    assert (record["pid"], record["monit"]["memory"]) == (0, 53_764_096)


def test_whole_numbers_have_no_fraction() -> None:
    assert b'"cpu":0}' in jlist([app(usage=Usage(cpu=0.0))])
    assert b'"cpu":12.5}' in jlist([app(usage=Usage(cpu=12.5))])


def test_watch_is_off_while_it_is_not_watching() -> None:
    assert one(app(spec={"watch": WatchSpec()}))["pm2_env"]["watch"] is False
    assert one(app(spec={"watch": WatchSpec()}, watching=True))["pm2_env"]["watch"] is True


def test_an_interval_job_has_no_cron_restart() -> None:
    record = one(job(job=JobSpec(every=1.5), run=RunSummary()))
    assert "cron_restart" not in record["pm2_env"]
    assert record["rota"]["job"]["every"] == 1500


def test_an_app_that_never_ran_has_no_start() -> None:
    assert one(app(actual=Down(), started=0.0))["pm2_env"]["pm_uptime"] is None
