from __future__ import annotations

from typing import Any

import pytest

from rota.ecosystem.options import CliOptions, option_table, patch_from_options
from rota.ecosystem.patch import PLACES, SPECIAL, UNRESOLVED
from rota.ecosystem.problems import InvalidEcosystem

OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"name": "x"}, {"name": "x"}),
    ({"instances": "max"}, {"instances": 0}),
    ({"interpreter_args": '-u -X "a b"'}, {"interpreter_args": ("-u", "-X", "a b")}),
    ({"args": ("a b", "c")}, {"args": ("a b", "c")}),
    ({"output": "o", "error": "NULL", "log": True}, {"out_file": "o", "error_file": "/dev/null", "log_file": ""}),
    ({"log": "all.log", "pid": "p"}, {"log_file": "all.log", "pid_file": "p"}),
    ({"log_type": "json", "time": True}, {"log_json": True, "log_date_format": "YYYY-MM-DDTHH:mm:ss"}),
    ({"filter_env": ("A", "B")}, {"filter_env": ("A", "B")}),
    ({"env_file": ("a", "b")}, {"env_files": ("a", "b")}),
    ({"watch": True, "ignore_watch": "a b", "ext": "js, .py", "watch_delay": "2"},
     {"watch": True, "ignore_watch": ("a", "b"), "watch_ext": ("js", "py"), "watch_delay": 2.0}),
    ({"watch": ("src", "lib"), "watch_delay": "4000ms"}, {"watch": ("src", "lib"), "watch_delay": 4.0}),
    ({"max_memory_restart": "200M"}, {"max_memory": 200 * 1024**2}),
    ({"max_restarts": "0", "min_uptime": "5s", "restart_delay": "100"},
     {"max_restarts": 0, "min_uptime": 5.0, "restart_delay": 0.1}),
    ({"exp_backoff_restart_delay": "100"}, {"exp_backoff": 0.1}),
    ({"autorestart": False, "autostart": False, "treekill": False},
     {"autorestart": False, "autostart": False, "treekill": False}),
    ({"stop_exit_codes": ("0", "3,4")}, {"stop_exit_codes": (0, 3, 4)}),
    ({"kill_timeout": "3000", "listen_timeout": "5s", "stop_signal": "quit"},
     {"kill_timeout": 3.0, "listen_timeout": 5.0, "stop_signal": "SIGQUIT"}),
    ({"cron": "0"}, {"cron_restart": ""}),
    ({"cron": "0 2 * * *", "tz": "UTC"}, {"cron_restart": "0 2 * * *", "job_tz": "UTC"}),
    ({"every": "5m", "timeout": "1m", "overlap": "queue", "retries": "2", "missed": "none"},
     {"job_every": 300.0, "job_timeout": 60.0, "job_overlap": "queue", "job_retries": 2, "job_missed": "none"}),
    ({"uid": "nobody", "gid": "33", "nice": "-5"}, {"uid": "nobody", "gid": "33", "nice": -5}),
    ({"max_memory_restart": "null", "name": "null"}, {"max_memory": None, "name": None}),
    ({"env": "production", "force": True, "only": ("a",), "update_env": True, "write": True, "parallel": "3"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), OPTIONS)
def test_options(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert patch_from_options(CliOptions(**given)) == expected


def test_all_wrong_options_are_said_at_once() -> None:
    with pytest.raises(InvalidEcosystem) as caught:
        patch_from_options(CliOptions(kill_timeout="x", max_memory_restart="1X", instances="many"))

    assert [problem.key for problem in caught.value.problems] == [
        "--instances",
        "--max-memory-restart",
        "--kill-timeout",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": "5m", "autorestart": True}, "is for jobs, which are not restarted by policy"),
        ({"every": "5m", "cron": "0 2 * * *"}, "and --cron exclude each other"),
        ({"every": "5"}, "needs a unit"),
    ],
)
def test_options_that_contradict(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEcosystem, match=message):
        patch_from_options(CliOptions(**given))


def test_every_setting_has_a_place() -> None:
    every = CliOptions(
        **{info.field: ("0",) if info.repeat else "0" for info in option_table() if info.field not in ("time", "log")}
    )
    with pytest.raises(InvalidEcosystem) as caught:
        patch_from_options(every)
    known = PLACES.keys() | SPECIAL | UNRESOLVED
    flags = {flag for info in option_table() for flag in info.flags}
    assert {problem.key for problem in caught.value.problems} <= flags
    assert {setting for given, _ in OPTIONS for setting in patch_from_options(CliOptions(**given))} <= known


def test_no_flag_is_declared_twice() -> None:
    flags = [flag for info in option_table() for flag in info.flags]
    assert sorted(flags) == sorted(set(flags))


def test_pm2s_flags_are_all_there() -> None:
    flags = {flag for info in option_table() for flag in info.flags}
    of_pm2 = (
        "-n --name -i --instances --interpreter --interpreter-args --node-args --cwd --namespace -o --output -e --error -l --log "
        "-p --pid --log-type --log-date-format --time --merge-logs --disable-logs --env -a --update-env --filter-env --only -f "
        "--force --watch --ignore-watch --ext --watch-delay --max-memory-restart --max-restarts --restart-delay "
        "--exp-backoff-restart-delay -k --kill-timeout --listen-timeout --wait-ready --shutdown-with-message --no-treekill -c "
        "--cron --cron-restart --no-autorestart --no-autostart --stop-exit-codes -x --execute-command --uid --gid -w --write "
        "--parallel --no-daemon --attach --sort -m --mini-list --no-vizion --no-pmx --no-automation --trace --disable-trace "
        "--v8 --event-loop-inspector --deep-monitoring --source-map-support --disable-source-map-support"
    )
    assert set(of_pm2.split()) - flags == set()


def test_values_stay_out_of_the_repr() -> None:
    assert repr(CliOptions(name="x", env_file=("secret",))) == "CliOptions(name, env_file)"
