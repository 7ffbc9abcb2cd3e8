"""The native form, as pure parsing, and its JSON Schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rota.ecosystem import native_keys, schema, toml
from rota.ecosystem.patch import PLACES, SPECIAL, UNRESOLVED
from rota.ecosystem.problems import Findings
from rota.jobs.spec import JobSpec

ROOT = Path(__file__).resolve().parents[3]

FULL = """
[rota]
namespace = "shop"
tz = "Europe/Paris"
env_file = "-.env"

[rota.env]
LEVEL = "debug"

[rota.env.production]
LEVEL = "info"

[apps.api]
run = "uvicorn shop.api:app --port 8000"
args = ["--reload"]
cwd = "server"
namespace = "web"
instances = "max"
exec_mode = "cluster"
instance_var = "N"
increment_var = "PORT"
port = 8000
env_file = [".env.api"]
filter_env = ["REACT_"]
uid = "www-data"
gid = 33
umask = "027"
nice = 5
limits = { NOFILE = 65536, CORE = 0 }
autostart = false
autorestart = true
stop_exit_codes = [0, 3]
min_uptime = "2s"
max_restarts = 5
restart_delay = "1s"
exp_backoff = "100ms"
backoff_reset = "20s"
max_memory = "512M"
cron_restart = "0 4 * * *"
wait_ready = true
listen_timeout = "8s"
stop_signal = "SIGTERM"
kill_timeout = "5s"
treekill = false
shutdown_with_message = true
listen = ["tcp://127.0.0.1:80"]
balance = "rr"
affinity = "ip"
min_instances = 2
max_instances = 6
scale_cpu = 60
scale_queue = 8
scale_down_after = "2m"
soft_drain = "500ms"
drain_timeout = "30s"
pid_file = "api.pid"
every = "90s"
budget = { lookups = 2 }
ready = { http = "http://127.0.0.1:8000/healthz", timeout = "10s", deadline = "1m", successes = 2 }
alive = { exec = ["curl", "-f", "http://127.0.0.1:8000/"], interval = "10s", failures = 5, initial_delay = "3s" }

[apps.api.env]
A = 1
B = true
C = 1.5

[apps.api.env.production]
A = "two"

[apps.api.logs]
out = "o.log"
error = "NULL"
combined = true
merge = true
json = true
date_format = "HH:mm"
max_size = "10M"
keep = 3
compress = false
rotate_cron = "0 0 * * *"
max_total = "1G"

[apps.api.watch]
paths = ["src"]
ignore = ["*.tmp"]
extensions = ["py"]
delay = "500ms"

[apps.plain]
script = "a.py"
interpreter = "python3"
interpreter_args = "-u"
depends_on = "api"
watch = true
ready = "http://127.0.0.1:1/"
logs = { disabled = true }

[apps.shelled]
run = "a | b"
shell = true
ready = { log = "listening on \\\\d+" }
alive = { tcp = 8000 }

[jobs.snapshot]
module = "shop.snapshot"
cron = "0 2 * * *"
tz = "UTC"
dst = "real"
timeout = "10m"
overlap = "replace"
retry = { max = 2, backoff = "30s" }
missed = "one"
misfire_grace = "1h"
spread = "5m"
verify = "python -m shop.has_snapshot"
run_on_start = true
keep_runs = 10
concurrency = 2
budget = { lookups = 15 }
paused = true

[jobs.after]
run = ["python", "-m", "shop.after"]
after = ["snapshot"]

[jobs.polled]
run = "python poll.py"
every = "1m30s"

[budgets.lookups]
limit = 15
per = "15m"
"""


def parse(text: str, **options: Any) -> tuple[toml.NativeFile, Findings]:
    findings = Findings()
    return toml.read(tomllib.loads(text), findings, **options), findings


def problems(text: str) -> list[str]:
    return [problem.line() for problem in parse(text)[1].problems]


def settings(text: str) -> dict[str, dict[str, Any]]:
    found, findings = parse(text)
    findings.check()
    return {entry.settings["name"]: entry.settings for entry in found.entries}


def test_every_key() -> None:
    found = settings(FULL)

    api = found["api"]
    assert api == {
        "name": "api", "namespace": "web", "run": "uvicorn shop.api:app --port 8000", "args": ("--reload",), "cwd": "server",
        "instances": 0, "exec_mode": "cluster", "instance_var": "N", "increment_var": "PORT", "port": 8000,
        "env": {"LEVEL": "debug", "A": "1", "B": "true", "C": "1.5"},
        "env_variants": {"production": {"LEVEL": "info", "A": "two"}},
        "env_files": ("-.env", ".env.api"), "filter_env": ("REACT_",), "uid": "www-data", "gid": "33", "umask": 0o27, "nice": 5,
        "limits": {"NOFILE": 65536, "CORE": 0}, "autostart": False, "autorestart": True, "stop_exit_codes": (0, 3),
        "min_uptime": 2.0, "max_restarts": 5, "restart_delay": 1.0, "exp_backoff": 0.1, "backoff_reset": 20.0,
        "max_memory": 512 * 1024**2,
        "cron_restart": "0 4 * * *", "cron_tz": "Europe/Paris", "wait_ready": True, "listen_timeout": 8.0,
        "stop_signal": "SIGTERM", "kill_timeout": 5.0, "treekill": False, "shutdown_with_message": True,
        "listen": ("tcp://127.0.0.1:80",), "balance": "rr", "pid_file": "api.pid",
        "affinity": "ip", "min_instances": 2, "max_instances": 6, "scale_cpu": 60, "scale_queue": 8, "scale_down_after": 120.0,
        "soft_drain": 0.5, "drain_timeout": 30.0,
        "calls": {"lookups": 2.0}, "calls_every": 90.0,
        "ready": {"kind": "http", "target": "http://127.0.0.1:8000/healthz", "timeout": 10.0, "deadline": 60.0, "successes": 2},
        "alive": {"kind": "exec", "command": ("curl", "-f", "http://127.0.0.1:8000/"), "interval": 10.0, "failures": 5,
                  "initial_delay": 3.0},
        "out_file": "o.log", "error_file": "/dev/null", "log_file": "", "merge_logs": True, "log_json": True,
        "log_date_format": "HH:mm", "log_max_size": 10 * 1024**2, "log_keep": 3, "log_compress": False,
        "log_rotate_cron": "0 0 * * *", "log_max_total": 1024**3,
        "watch": ("src",), "ignore_watch": ("*.tmp",), "watch_ext": ("py",), "watch_delay": 0.5,
    }  # fmt: skip
    assert found["plain"]["ready"] == {"kind": "http", "target": "http://127.0.0.1:1/"}
    assert found["plain"]["disable_logs"] is True
    assert found["shelled"]["alive"] == {"kind": "tcp", "target": "127.0.0.1:8000"}
    assert found["shelled"]["ready"] == {"kind": "log", "target": r"listening on \d+"}


def test_every_key_of_a_job() -> None:
    found = settings(FULL)

    assert found["snapshot"]["autorestart"] is False
    assert found["snapshot"]["module"] == "shop.snapshot"
    assert found["snapshot"]["job"] == {
        "cron": "0 2 * * *", "tz": "UTC", "dst": "real", "timeout": 600.0, "overlap": "replace", "retries": 2,
        "retry_backoff": 30.0, "missed": "one", "misfire_grace": 3600.0, "spread": 300.0,
        "verify": "python -m shop.has_snapshot", "run_on_start": True, "keep_runs": 10, "concurrency": 2,
        "budget": {"lookups": 15.0}, "paused": True,
    }  # fmt: skip
    assert found["after"]["job"] == {"after": ("snapshot",), "tz": "Europe/Paris"}
    assert found["polled"]["job"]["every"] == 90.0


def test_the_full_example_misses_no_key() -> None:
    document = tomllib.loads(FULL)
    for table in ("apps", "jobs"):
        used = {name for entry in document[table].values() for name in entry}
        shown_elsewhere = {key.name for key in native_keys.COMMON_KEYS} if table == "jobs" else set()
        assert {key.name for key in native_keys.TABLES[table]} - used - shown_elsewhere <= {"tz", "module"}


def test_budgets() -> None:
    assert parse(FULL)[0].budgets == {"lookups": (15.0, 900.0)}


def test_every_setting_has_a_place() -> None:
    jobs = set(JobSpec.__dataclass_fields__)
    for keys in (native_keys.APP_KEYS, native_keys.LOG_KEYS, native_keys.WATCH_KEYS):
        assert {key.target for key in keys if not key.nested} - (PLACES.keys() | SPECIAL | UNRESOLVED) == set()
    own = {key.target for key in native_keys.JOB_KEYS if key not in native_keys.COMMON_KEYS and not key.nested}
    assert own - jobs == set()
    assert {key.target for key in native_keys.RETRY_KEYS} - jobs == set()


WRONG = [
    ("", "holds no apps and no jobs (begin with: [apps.web] and run = \"python app.py\")"),
    ("[aps.a]\nrun = 'x'", 'aps: unknown table (did you mean "apps"?)'),
    ("x = 1", "x: unknown table (known: apps, jobs, budgets, rota)"),
    ("apps = 3", "apps: must be tables by name, not the number 3 (write [apps.NAME])"),
    ("[apps]\nrun = 'x'", "apps.run: must be a table, not the text \"x\" (it stands outside of a [apps.NAME] table)"),
    ("[apps.a]", 'apps.a: says nothing to run (add run = "python app.py")'),
    ("[apps.a]\nrun = 'x'\nscript = 'y'", "apps.a: has run and script (one of them says what to run)"),
    ("[apps.a]\nscript = 'x'\nshell = true", "apps.a.shell: is about run, which is not there"),
    ("[apps.a]\nrun = 'x | y'", "apps.a.run: uses shell syntax (|), and rota starts programs without a shell (add shell = "
     "true, or quote it if it is meant literally)"),
    ("[apps.a]\nrun = 'x'\nmax_memry = 1", 'apps.a.max_memry: unknown key (did you mean "max_memory"?)'),
    ("[apps.a]\nrun = 'x'\nmax_memory_restart = 1",
     'apps.a.max_memory_restart: unknown key (that is PM2\'s name; here it is "max_memory")'),
    ("[apps.a]\nrun = 'x'\nout_file = 'y'",
     "apps.a.out_file: unknown key (that is PM2's name; here it is logs = { out = … })"),
    ("[apps.a]\nrun = 'x'\n[apps.a.env_staging]\nA = '1'",
     "apps.a.env_staging: unknown key (values for --env staging stand inside env, as env = { …, staging = { … } })"),
    ("[apps.a]\nrun = 'x'\ntimeout = '1m'", "apps.a.timeout: unknown key (it belongs to a job: [jobs.NAME])"),
    ("[apps.a]\nrun = 'x'\ncron = '* * * * *'", "apps.a.cron: unknown key (it belongs to a job: [jobs.NAME], or cron_restart to "
     "restart an app by schedule)"),
    ("[jobs.a]\nrun = 'x'\nautorestart = true", "jobs.a.autorestart: unknown key (it belongs to an app: [apps.NAME])"),
    ("[apps.a]\nrun = 'x'\nevery = '60s'", "apps.a.every: is the rate of an app's own calls, and they take no budget (add "
     "budget = { NAME = 1 }; or is it a job, to be started so often: [jobs.NAME])"),
    ("[apps.a]\nrun = 'x'\nbudget = { b = 1 }\n[budgets.b]\nlimit = 2\nper = '1m'",
     'apps.a.budget: does not say how often it is taken (add every = "60s")'),
    ("[apps.a]\nrun = 'x'\nevery = '60s'\nbudget = { b = 3 }\n[budgets.b]\nlimit = 2\nper = '1m'",
     "apps.a.budget: takes 3 of b, which never holds more than 2"),
    ("[jobs.a]\nrun = 'x'\nretry = { mx = 1 }", 'jobs.a.retry.mx: unknown key (did you mean "max"?)'),
    ("[jobs.a]\nrun = 'x'\nretry = 3", "jobs.a.retry: must be a table, not the number 3"),
    ("[jobs.a]\nrun = 'x'\ncron = '* * * * *'\nevery = '1m'", "jobs.a: has cron and every (give one schedule)"),
    ("[jobs.a]\nrun = 'x'\ntimeout = 30",
     'jobs.a.timeout: needs a unit: 30 may be seconds or milliseconds (write "30s" or "30ms")'),
    ("[jobs.a]\nrun = 'x'\nevery = '0s'", "jobs.a.every: must be more than 0"),
    ("[jobs.a]\nrun = 'x'\nafter = 'b'", 'jobs.a.after: there is no job "b" in this file'),
    ("[jobs.a]\nrun = 'x'\nbudget = { b = 0 }", "jobs.a.budget: takes a number of tokens above 0 of b, not the number 0"),
    ("[jobs.a]\nrun = 'x'\nbudget = { b = 9 }\n[budgets.b]\nlimit = 5\nper = '1m'",
     "jobs.a.budget: takes 9 of b, which never holds more than 5"),
    ("[budgets.b]\nlimit = 5", 'budgets.b: has no per (write limit = 15 and per = "15m")'),
    ("[budgets.b]\nlimit = '5'\nper = '1m'", 'budgets.b.limit: must be a number, not the text "5"'),
    ("[apps.a]\nrun = 'x'\nready = { timeout = '1s' }",
     "apps.a.ready: asks nothing: a probe asks one thing (give one of http, tcp, exec or log)"),
    ("[apps.a]\nrun = 'x'\nready = { tcp = 1, log = 'x' }",
     "apps.a.ready: has tcp and log: a probe asks one thing (give one of http, tcp, exec or log)"),
    ("[apps.a]\nrun = 'x'\nready = { log = '(' }",
     "apps.a.ready.log: is not a regular expression: missing ), unterminated subpattern at position 0"),
    ("[apps.a]\nrun = 'x'\nready = { http = 'localhost' }", 'apps.a.ready.http: must be a URL, not the text "localhost" (write '
     '"http://127.0.0.1:8000/healthz")'),
    ("[apps.a]\nrun = 'x'\nready = { tcp = 'nowhere' }", 'apps.a.ready.tcp: must be an address, not the text "nowhere" (write '
     '"127.0.0.1:8000", a port, or the path of a socket)'),
    ("[apps.all]\nrun = 'x'", 'apps.all: "all" cannot be a name: commands use it for something else'),
    ("[apps.a]\nrun = 'x'\n[jobs.a]\nrun = 'x'", "jobs.a: the name is taken by apps.a (commands could not tell them apart)"),
    ("[apps.a]\nrun = 'x'\ndepends_on = 'apy'\n[apps.api]\nrun = 'x'",
     'apps.a.depends_on: there is no app or job "apy" in this file (did you mean "api"?)'),
    ("[apps.a]\nrun = 'x'\ndepends_on = 'b'\n[apps.b]\nrun = 'x'\ndepends_on = 'a'",
     "each waits for the next: a -> b -> a (take one depends_on or after away)"),
    ("[apps.a]\nrun = 'x'\nenv = 'TOKEN=hunter2'",
     'apps.a.env: must be an object of names and values, not a text (write { "PORT": 8000 })'),
    ("[apps.a]\nrun = 'x'\nlimits = { NOFIL = 1 }", None),
    ("[apps.a]\nrun = 'x'\nwatch = 3", "apps.a.watch: must be a text or a list of texts, not the number 3"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_what_is_said_about_mistakes(text: str, expected: str | None) -> None:
    said = problems(text)
    assert len(said) == 1
    if expected is not None:
        assert said == [expected]


def test_a_budget_of_another_file_is_a_warning() -> None:
    _, findings = parse("[jobs.a]\nrun = 'x'\nbudget = { lookup = 1 }\n[budgets.lookups]\nlimit = 5\nper = '1m'")
    findings.check()
    assert findings.warnings == ['jobs.a.budget: there is no [budgets.lookup] in this file; did you mean "lookups"?']


def test_an_undefined_environment_is_a_warning() -> None:
    _, findings = parse("[apps.a]\nrun = 'x'\n[apps.a.env.dev]\nA = 1", env_name="prod")
    assert findings.warnings == ["Environment [prod] is not defined in process file; defined: dev"]


# --- the schema ----------------------------------------

VALIDATOR = jsonschema.Draft202012Validator(schema.build())


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.build())


def test_the_checked_in_schema_is_current() -> None:
    """Renew it with: python -m rota.ecosystem.schema > docs/schema/rota.schema.json"""
    assert (ROOT / "docs/schema/rota.schema.json").read_text() == schema.text()


def native_files() -> list[Path]:
    return sorted(path for folder in ("examples", "tests") for path in (ROOT / folder).rglob("*rota.toml"))


def test_there_are_examples() -> None:
    assert ROOT / "examples/shop/rota.toml" in native_files()


@pytest.mark.parametrize("path", native_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_rota_toml_of_the_repository_validates(path: Path) -> None:
    document = tomllib.loads(path.read_text())
    VALIDATOR.validate(json.loads(json.dumps(document)))
    findings = Findings()
    toml.read(document, findings)
    findings.check(str(path))


def test_the_full_example_validates() -> None:
    VALIDATOR.validate(tomllib.loads(FULL))


# What only the reader can know: references, expressions, names, signals, what a shell would do, sizes of numbers.
BEYOND_THE_SCHEMA = (
    "uses shell syntax", "there is no", "which never holds", "cannot be a name", "the name is taken", "each waits",
    "must be more", "is not a regular expression", "has no limit", "must be an address", "holds no apps",
)  # fmt: skip


@pytest.mark.parametrize("text", [text for text, _ in WRONG])
def test_the_schema_refuses_what_the_reader_refuses(text: str) -> None:
    (said,) = problems(text)
    if not any(part in said for part in BEYOND_THE_SCHEMA):
        assert not VALIDATOR.is_valid(tomllib.loads(text))


DURATIONS = ["0", "5s", "1h30m", "500ms", "1.5h", "1d 2h", "2w", " 3 s ", ".5s", "1m5ms"]
NO_DURATIONS = ["5", "s", "", " ", "1s1h", "5 5s", "1h2h", "x", "-1s", "1 day"]


@pytest.mark.parametrize("text", DURATIONS + NO_DURATIONS)
def test_the_schema_and_the_reader_agree_on_durations(text: str) -> None:
    document = {"jobs": {"a": {"run": "x", "timeout": text}}}
    findings = Findings()
    toml.read(document, findings)
    assert VALIDATOR.is_valid(document) == (not findings.problems) == (text in DURATIONS)


@pytest.mark.parametrize("text", ["300M", "1.5G", "100MB", "64 MiB", "12", "1T", "", "M", "1GM", "-1", "1,5G"])
def test_the_schema_and_the_reader_agree_on_sizes(text: str) -> None:
    document = {"apps": {"a": {"run": "x", "max_memory": text}}}
    findings = Findings()
    toml.read(document, findings)
    assert VALIDATOR.is_valid(document) == (not findings.problems)
