"""PM2's format, as pure parsing: every key and alias, the shapes, and what is said about mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from rota.ecosystem import pm2
from rota.ecosystem.keys import PM2_KEYS, camel
from rota.ecosystem.patch import PLACES, SPECIAL, UNRESOLVED
from rota.ecosystem.problems import Findings, InvalidEcosystem


def read(app: dict[str, Any]) -> dict[str, Any]:
    """The settings of one app that must be right."""
    findings = Findings()
    script = {} if app.keys() & {"script", "exec", "cmd", "command"} else {"script": "a.py"}
    (entry,) = pm2.entries({"apps": [{**script, **app}]}, findings)
    findings.check()
    return entry.settings


def problems(document: Any, **options: Any) -> list[str]:
    findings = Findings()
    pm2.entries(document, findings, **options)
    return [problem.line() for problem in findings.problems]


def warnings(document: Any, **options: Any) -> list[str]:
    findings = Findings()
    pm2.entries(document, findings, **options)
    findings.check()
    return findings.warnings


# key, value as written, setting, value in rota's units
VALUES: list[tuple[str, Any, str, Any]] = [
    ("script", "b.py", "script", "b.py"),
    ("name", "api", "name", "api"),
    ("namespace", "shop", "namespace", "shop"),
    ("cwd", "sub", "cwd", "sub"),
    ("args", ["a", "b c", 3], "args", ("a", "b c", "3")),
    ("args", '--x "b c"', "args", ("--x", "b c")),
    ("exec_interpreter", "python3", "interpreter", "python3"),
    ("node_args", "-u -X dev", "interpreter_args", ("-u", "-X", "dev")),
    ("exec_mode", "cluster", "exec_mode", "cluster"),
    ("exec_mode", "fork_mode", "exec_mode", "fork"),
    ("execute_command", True, "execute_command", True),
    ("instances", 3, "instances", 3),
    ("instances", "max", "instances", 0),
    ("instances", "-1", "instances", -1),
    ("instances", 2.9, "instances", 2),
    ("increment_var", "PORT", "increment_var", "PORT"),
    ("instance_var", "N", "instance_var", "N"),
    ("port", "8000", "port", 8000),
    ("env", {"A": 1, "B": True, "C": None, "D": 1.5, "E": {"x": [1]}, "F": 2.0}, "env",
     {"A": "1", "B": "true", "C": "null", "D": "1.5", "E": '{"x":[1]}', "F": "2"}),
    ("filter_env", ["REACT_"], "filter_env", ("REACT_",)),
    ("filter_env", "TOKEN", "filter_env", ("=TOKEN",)),
    ("filter_env", True, "filter_env", ("*",)),
    ("filter_env", False, "filter_env", ()),
    ("append_env_to_name", True, "append_env_to_name", True),
    ("out_file", "o.log", "out_file", "o.log"),
    ("out_file", "NULL", "out_file", "/dev/null"),
    ("error_file", "/dev/null", "error_file", "/dev/null"),
    ("log_file", True, "log_file", ""),
    ("log_file", "all.log", "log_file", "all.log"),
    ("pid_file", "x.pid", "pid_file", "x.pid"),
    ("merge_logs", True, "merge_logs", True),
    ("disable_logs", "true", "disable_logs", True),
    ("log_type", "json", "log_json", True),
    ("log_type", "raw", "log_json", False),
    ("log_date_format", "HH:mm", "log_date_format", "HH:mm"),
    ("time", True, "log_date_format", "YYYY-MM-DDTHH:mm:ss"),
    ("autorestart", False, "autorestart", False),
    ("autorestart", "false", "autorestart", False),
    ("stop_exit_codes", [0, "3"], "stop_exit_codes", (0, 3)),
    ("stop_exit_codes", 4, "stop_exit_codes", (4,)),
    ("stop_exit_codes", "3,4", "stop_exit_codes", (3, 4)),
    ("autostart", False, "autostart", False),
    ("max_restarts", "5", "max_restarts", 5),
    ("max_restarts", 0, "max_restarts", 0),
    ("min_uptime", "5s", "min_uptime", 5),
    ("min_uptime", 2000, "min_uptime", 2),
    ("restart_delay", 0, "restart_delay", 0),
    ("restart_delay", "3000", "restart_delay", 3),
    ("exp_backoff_restart_delay", 100, "exp_backoff", 0.1),
    ("max_memory_restart", "300M", "max_memory", 300 * 1024**2),
    ("max_memory_restart", "1.5G", "max_memory", 1536 * 1024**2),
    ("max_memory_restart", 1000, "max_memory", 1000),
    ("cron_restart", "*/30 * * * *", "cron_restart", "*/30 * * * *"),
    ("cron_restart", 0, "cron_restart", ""),
    ("cron_restart", "0", "cron_restart", ""),
    ("watch", True, "watch", True),
    ("watch", ["src", "lib"], "watch", ("src", "lib")),
    ("watch", "src", "watch", ("src",)),
    ("ignore_watch", "a b", "ignore_watch", ("a", "b")),
    ("ignore_watch", ["a b"], "ignore_watch", ("a b",)),
    ("watch_delay", 500, "watch_delay", 0.5),
    ("kill_timeout", 3000, "kill_timeout", 3),
    ("kill_timeout", "3s", "kill_timeout", 3),
    ("treekill", False, "treekill", False),
    ("shutdown_with_message", True, "shutdown_with_message", True),
    ("wait_ready", True, "wait_ready", True),
    ("listen_timeout", 8000, "listen_timeout", 8),
    ("uid", "nobody", "uid", "nobody"),
    ("uid", 1000, "uid", "1000"),
    ("gid", 1000, "gid", "1000"),
    ("env_file", ".env", "env_files", (".env",)),
    ("env_file", True, "env_files", (".env",)),
    ("depends_on", "db", "depends_on", ("db",)),
    ("stop_signal", "term", "stop_signal", "SIGTERM"),
    ("stop_signal", "SIGRTMIN+1", "stop_signal", "SIGRTMIN+1"),
    ("nice", 5, "nice", 5),
    ("umask", "027", "umask", 0o27),
    ("limits", {"nofile": 65536, "RLIMIT_CORE": 0, "AS": "1G", "STACK": "unlimited"}, "limits",
     {"NOFILE": 65536, "CORE": 0, "AS": 1024**3, "STACK": -1}),
    ("listen", "tcp://127.0.0.1:80", "listen", ("tcp://127.0.0.1:80",)),
    ("balance", "rr", "balance", "rr"),
    ("affinity", "ip", "affinity", "ip"),
    ("min_instances", 2, "min_instances", 2),
    ("max_instances", 8, "max_instances", 8),
    ("scale_cpu", 60, "scale_cpu", 60),
    ("scale_queue", 4, "scale_queue", 4),
    ("scale_down_after", 30000, "scale_down_after", 30.0),
    ("soft_drain", 500, "soft_drain", 0.5),
    ("drain_timeout", 30000, "drain_timeout", 30.0),
    ("ready", {"tcp": 8000}, "ready", {"kind": "tcp", "target": "127.0.0.1:8000"}),
    ("alive", {"exec": "true", "interval": "5s"}, "alive", {"kind": "exec", "command": "true", "interval": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "written", "setting", "expected"), VALUES)
def test_values(key: str, written: Any, setting: str, expected: Any) -> None:
    assert read({key: written})[setting] == expected


def test_the_table_of_values_misses_no_key() -> None:
    tried = {key for key, *_ in VALUES}
    carried = {key.name for key in PM2_KEYS if key.setting == "extra"}
    with_tests_of_their_own = {"watch_options", "tz", "timeout", "overlap", "retries", "missed"}
    assert {key.name for key in PM2_KEYS} - tried - carried == with_tests_of_their_own


SPELLINGS = [
    (key.name, form) for key in PM2_KEYS for name in (key.name, *key.aliases) for form in sorted({name, camel(name)})
]


@pytest.mark.parametrize(("key", "spelling"), SPELLINGS)
def test_every_alias_and_camel_case_form_says_the_same(key: str, spelling: str) -> None:
    written = next((value for name, value, *_ in VALUES if name == key), None)
    if written is None:
        written = {"tz": "Europe/Paris", "timeout": 600000, "overlap": "queue", "retries": 2, "missed": "one"}.get(
            key, True
        )
    job = {"autorestart": False} if key in ("timeout", "overlap", "retries", "missed") else {}
    assert read({spelling: written, **job}) == read({key: written, **job})


@pytest.mark.parametrize("key", [key for key in PM2_KEYS if not key.setting or key.setting != "extra"])
def test_every_setting_has_a_place(key: Any) -> None:
    derived = {"time", "watch_options", "log_date_format"}
    assert (key.setting or key.name) in PLACES.keys() | SPECIAL | UNRESOLVED | derived


def test_the_canonical_key_wins_over_its_aliases() -> None:
    assert read({"err": "b", "error_file": "a", "errorFile": "c"})["error_file"] == "a"
    assert read({"err": "b", "errorFile": "c"})["error_file"] == "c"


def test_keys_for_show_are_carried() -> None:
    assert read({"vizion": False, "pmx": True, "io": {"apm": 1}})["extra"] == {
        "vizion": "false",
        "pmx": "true",
        "io": '{"apm": 1}',
    }


def test_null_means_not_given() -> None:
    assert read({"max_restarts": None, "name": None}) == read({})


def test_env_blocks() -> None:
    settings = read({"env": {"A": 1}, "env_production": {"B": 2}, "env_": 1, "env_empty": None})

    assert settings["env"] == {"A": "1"}
    assert settings["env_variants"] == {"production": {"B": "2"}, "empty": {}}


def test_an_env_block_may_be_called_file() -> None:
    assert read({"env_file": {"A": 1}})["env_variants"] == {"file": {"A": "1"}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"apps": [{"script": "a"}, {"script": "b"}]}, ["a", "b"]),
        ({"apps": {"script": "a"}}, ["a"]),
        ({"pm2": [{"script": "a"}]}, ["a"]),
        ({"pm2": {"apps": [{"script": "a"}]}}, ["a"]),
        ([{"script": "a"}], ["a"]),
        ({"script": "a", "name": "x"}, ["a"]),
        ({"cmd": "a"}, ["a"]),
        ({"apps": []}, []),
        ([], []),
        ({"apps": [{"script": "a"}], "static": [{"port": 9}]}, ["a", "serve"]),
        ({"static": [{"port": 9}]}, ["serve"]),
    ],
)
def test_shapes(document: Any, expected: list[str]) -> None:
    findings = Findings()
    entries = pm2.entries(document, findings)

    findings.check()
    assert [entry.settings["script"] for entry in entries] == expected


def test_package_json() -> None:
    package = {"name": "x", "version": "1", "scripts": {}, "pm2": [{"script": "a"}]}
    findings = Findings()
    (entry,) = pm2.entries(package, findings, package=True)

    assert (entry.key, findings.warnings) == ("pm2[0]", [])
    assert problems({"name": "x", "scripts": {}}, package=True) == [
        'has neither "apps" nor "pm2" (add one of them, or name another file)'
    ]


def test_static() -> None:
    item = {
        "port": 9000,
        "path": "dist",
        "host": "127.0.0.1",
        "spa": True,
        "basic_auth": {"username": "u", "password": "p"},
    }
    findings = Findings()
    (entry,) = pm2.entries({"static": item}, findings)

    assert entry.settings["name"] == "static-page-server-9000"
    assert entry.settings["env"] == {
        "PM2_SERVE_PORT": "9000",
        "PM2_SERVE_PATH": "dist",
        "PM2_SERVE_HOST": "127.0.0.1",
        "PM2_SERVE_SPA": "true",
        "PM2_SERVE_BASIC_AUTH": "true",
        "PM2_SERVE_BASIC_AUTH_USERNAME": "u",
        "PM2_SERVE_BASIC_AUTH_PASSWORD": "p",
    }


def test_deploy_env_lies_between_env_and_its_variant() -> None:
    document = {
        "apps": [{"script": "a", "env_production": {"B": "variant"}}],
        "deploy": {"production": {"env": {"A": "deploy", "B": "deploy"}}},
    }
    findings = Findings()
    (entry,) = pm2.entries(document, findings, env_name="production")

    assert entry.settings["env_variants"]["production"] == {"A": "deploy", "B": "variant"}


ERRORS: list[tuple[Any, list[str]]] = [
    ("x", ['must hold an object with a list of apps, not the text "x"']),
    (None, ['holds no apps (the usual form is { apps: [{ script: "app.py" }] })']),
    ({"apps": "x"}, ['apps: must be a list of apps, not the text "x"']),
    ({"app": []}, ['holds no apps (did you mean "apps"?)']),
    ({}, ['holds no apps (the usual form is { apps: [{ script: "app.py" }] })']),
    ({"apps": [3]}, ["apps[0]: must be an object, not the number 3"]),
    ({"apps": [{}]}, ['apps[0]: the app has no script (add script: "app.py", or a command line in script)']),
    ({"apps": [{"name": "x"}]}, ['apps[0]: app "x" has no script (add script: "app.py", or a command line in script)']),
]  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), ERRORS)
def test_what_is_said_about_wrong_shapes(document: Any, expected: list[str]) -> None:
    assert problems(document) == expected


WRONG: list[tuple[str, Any, str | None]] = [
    ("name", 5, "name: must be a text, not the number 5"),
    ("script", "", "script: must not be empty"),
    ("kill_timeout", "abc", 'kill_timeout: must be a time in milliseconds, not the text "abc" (write milliseconds as a '
     'number, or a time such as "500ms", "3s", "2m" or "1h")'),
    ("max_memory_restart", "1X", 'max_memory_restart: must be a size, not the text "1X" (write bytes as a number, or a '
     'size such as "512K", "300M" or "1.5G")'),
    ("min_uptime", 50, "min_uptime: must be at least 100 ms, not 50"),
    ("max_restarts", -1, "max_restarts: must be at least 0, not -1"),
    ("exec_mode", "clutser", 'exec_mode: must be "fork" or "cluster", not the text "clutser"'),
    ("instances", "many", 'instances: must be a number or "max", not the text "many"'),
    ("instances", 8080, "instances: must be at most 1000, not 8080 (a port is given as port, or as PORT in env)"),
    ("instances", "8080", "instances: must be at most 1000, not 8080 (a port is given as port, or as PORT in env)"),
    ("max_instances", 2000, "max_instances: must be at most 1000, not 2000 (a port is given as port, or as PORT in env)"),
    ("autorestart", 1, "autorestart: must be true or false, not the number 1"),
    ("env", "A=1", 'env: must be an object of names and values, not a text (write { "PORT": 8000 })'),
    ("env_x", ["A"], 'env_x: must be an object of names and values, not a list (write { "PORT": 8000 })'),
    ("env", {"A=B": 1}, "env: has a name that no environment variable can have (a name is not empty and holds no =)"),
    ("args", 5, 'args: must be a list or a text, not the number 5 (write ["--port", "8000"] or "--port 8000")'),
    ("cron_restart", "61 * * * *", None),
    ("cron_restart", "* * *", None),
    ("stop_exit_codes", [256], "stop_exit_codes: must be an exit code between 0 and 255, not 256"),
    ("port", 70000, "port: must be a port between 0 and 65535, not 70000"),
    ("stop_signal", "SIGFOO", 'stop_signal: must be a signal name, not "SIGFOO" (write "SIGINT", "SIGTERM", "SIGQUIT" or '
     'another)'),
    ("nice", 30, "nice: must be between -20 and 19, not 30"),
    ("umask", "999", 'umask: must be an octal mode, not the text "999" (write "027" or 0o027)'),
    ("tz", "Mars/Base", None),
    ("ready", {}, "ready: asks nothing: a probe asks one thing (give one of http, tcp, exec or log)"),
    ("timeout", "10m", "timeout: is for jobs (set autorestart: false; a service has no runs)"),
    ("name", "a\0b", "name: must not contain a NUL character"),
    ("name", "a\ud800", "name: must not contain half a surrogate pair"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), WRONG)
def test_what_is_said_about_wrong_values(key: str, value: Any, expected: str | None) -> None:
    said = problems({"apps": [{"script": "a.py", key: value}]})

    assert len(said) == 1
    assert said[0].startswith(f"apps[0].{key}: ")
    if expected is not None:
        assert said == [f"apps[0].{expected}"]


def test_the_key_is_named_as_it_was_written() -> None:
    assert problems({"apps": [{"exec": "a", "killTimeout": "x"}]})[0].startswith("apps[0].killTimeout: ")


def test_all_problems_are_said_at_once() -> None:
    findings = Findings()
    pm2.entries({"apps": [{"script": "a", "nice": 99}, {"name": 1}]}, findings)

    with pytest.raises(InvalidEcosystem) as caught:
        findings.check("x.json")

    assert len(caught.value.problems) == 3
    assert str(caught.value).splitlines() == [
        "x.json: 3 problems:",
        "  apps[0].nice: must be between -20 and 19, not 99",
        "  apps[1].name: must be a text, not the number 1",
        '  apps[1]: the app has no script (add script: "app.py", or a command line in script)',
    ]


def test_one_problem_stands_in_one_line_with_its_hint() -> None:
    findings = Findings()
    pm2.entries({"apps": [{"script": "a", "kill_timeout": "x"}]}, findings)

    with pytest.raises(InvalidEcosystem) as caught:
        findings.check("x.json")

    assert (caught.value.file, caught.value.key) == ("x.json", "apps[0].kill_timeout")
    assert (
        str(caught.value).splitlines()[0]
        == 'x.json: apps[0].kill_timeout: must be a time in milliseconds, not the text "x"'
    )


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ({"max_restart": 3}, 'apps[0].max_restart: unknown key, ignored; did you mean "max_restarts"?'),
        ({"kilTimeout": 3}, "apps[0].kilTimeout: unknown key, ignored; did you mean"),
        ({"zzz": 3}, "apps[0].zzz: unknown key, ignored"),
        ({"cron_restart": "0 0 1 * 1"}, "apps[0].cron_restart: day of month and day of week are both given"),
        (
            {"watch_options": {"awaitWriteFinish": True}},
            "apps[0].watch_options.awaitWriteFinish: an option of PM2's watcher",
        ),
    ],
)
def test_warnings(app: dict[str, Any], expected: str) -> None:
    (said,) = warnings({"apps": [{"script": "a.py", **app}]})
    assert said.startswith(expected)


def test_warnings_and_mistakes_of_static() -> None:
    assert warnings({"static": [{"prot": 9}]}) == ['static[0].prot: unknown key, ignored; did you mean "port"?']
    assert problems({"static": [3, {"port": "x"}]}) == [
        "static[0]: must be an object, not the number 3",
        'static[1].port: must be a whole number, not the text "x"',
    ]


def test_warnings_about_the_file() -> None:
    assert warnings({"apps": [], "deply": {}}) == ['deply: unknown key, ignored; did you mean "deploy"?']
    assert warnings({"apps": [{"script": "a", "env_dev": {}}]}, env_name="prod") == [
        "Environment [prod] is not defined in process file; defined: dev"
    ]


def test_watch_options_that_have_a_meaning_here() -> None:
    assert read({"watch": True, "watch_options": {"ignored": ["*.tmp"], "followSymlinks": False}})["ignore_watch"] == (
        "*.tmp",
    )


def test_secrets_are_not_repeated() -> None:
    said = problems({"apps": [{"script": "a", "env": "TOKEN=hunter2", "env_x": {"A": "hunter2\0"}}]})
    assert len(said) == 2
    assert "hunter2" not in "".join(said)
