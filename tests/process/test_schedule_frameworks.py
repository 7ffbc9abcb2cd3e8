"""Starlette, FastAPI, Flask and Django apps that run jobs and answer health, each as it is really served."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from rota import Scheduler
from rota.jobs.run import Outcome
from rota.schedule.frameworks.serving import serves
from rota.schedule.health.routes import Health
from rota.schedule.health.wsgi import HealthWsgi, make_server
from rota.stores.memory import MemoryStore
from rota.stores.sqlite import SqliteStore
from rota.testing import FakeClock
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process.conftest import Spawn

STARLETTE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from rota import Scheduler
rota = Scheduler("sqlite:///rota.db", name="shop")
@rota.every("100ms")
async def tick(): pass
async def home(request): return PlainTextResponse("the app")
app = Starlette(lifespan=rota.lifespan, routes=[
    Route("/", home), Mount("/internal", rota.health_asgi()), Mount("/", rota.health_asgi(run_token="t")),
])
"""

FASTAPI = """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from rota import Scheduler
rota = Scheduler("sqlite:///rota.db", name="shop")
@rota.every("100ms")
async def tick(): pass
app = FastAPI(lifespan=rota.lifespan)
@app.get("/", response_class=PlainTextResponse)
async def home(): return "the app"
app.mount("/", rota.health_asgi(run_token="t"))
"""

FLASK = """
import os
from flask import Flask
from rota import Scheduler
from rota.schedule.frameworks.flask import init_app
rota = Scheduler("sqlite:///rota.db", name="shop")
@rota.every("100ms")
def tick(run):
    if run.due is None: return
    with open("ticks", "a") as ticks: ticks.write(f"{run.due.timestamp()} {os.getpid()}\\n")
app = Flask(__name__)
@app.get("/")
def home(): return "the app"
init_app(app, rota, run_token="t")
"""

DJANGO = """
import os, sys
from django.apps import AppConfig
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from rota import Scheduler
from rota.schedule.frameworks import django as rota_django
rota = Scheduler("sqlite:///rota.db", name="shop")
@rota.every("100ms")
def tick(): pass
class Shop(AppConfig):
    name = "shop"
    label = "shop"
    path = os.path.dirname(os.path.abspath(__file__))
    def ready(self):
        print("started", rota_django.start(rota), flush=True)
sys.modules["shop"] = sys.modules[__name__]
settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", INSTALLED_APPS=["shop.Shop"])
urlpatterns = [path("", lambda request: HttpResponse("the app")), *rota_django.urlpatterns(rota, run_token="t")]
if __name__ == "__main__":
    sys.argv[0] = "manage.py"
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""


def get(url: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def check(base: str) -> None:
    eventually(lambda: get(base)[0] == 200, within=40)
    assert get(base) == (200, b"the app")
    eventually(lambda: json.loads(get(f"{base}health/cron")[1])["services"][0]["last_run"], within=20)
    status, body = get(f"{base}api/health")
    assert (status, json.loads(body)["scheduler"]["running"]) == (200, True)
    assert get(f"{base}health/cron/none")[0] == 404
    assert get(f"{base}api/jobs/tick/run", "POST")[0] == 401
    assert get(f"{base}api/jobs/tick/run", "POST", Authorization="Bearer t")[0] == 202


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (STARLETTE, ("-m", "uvicorn", "app:app", "--port", "{port}")),
        (FASTAPI, ("-m", "uvicorn", "app:app", "--port", "{port}")),
        (FLASK, ("-m", "flask", "--app", "app", "run", "--port", "{port}")),
        (DJANGO, ("app.py", "runserver", "--noreload", "127.0.0.1:{port}")),
    ],
    ids=["starlette", "fastapi", "flask", "django"],
)
def test_an_app_runs_jobs_and_answers_health(
    spawn: Spawn, tmp_path: Path, source: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "app.py").write_text(source)
    port = str(free_port())
    argv = [part.format(port=port) for part in command]
    process = spawn(sys.executable, *argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check(f"http://127.0.0.1:{port}/")
    if source == STARLETTE:
        assert get(f"http://127.0.0.1:{port}/internal/health/cron")[0] == 200
    process.terminate()
    process.wait(timeout=20)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each worker loads it", "preload"])
def test_the_workers_of_gunicorn_share_the_jobs_also_after_a_reload(
    spawn: Spawn, tmp_path: Path, preload: tuple[str, ...]
) -> None:
    (tmp_path / "app.py").write_text(FLASK)
    (tmp_path / "ticks").touch()
    port = str(free_port())
    # In a file: a pipe that nobody reads would hold up the server.
    with (tmp_path / "log").open("wb") as log:
        argv = ("-m", "gunicorn", "-w", "3", "-b", f"127.0.0.1:{port}", *preload, "app:app")
        server = spawn(sys.executable, *argv, cwd=tmp_path, stdout=log, stderr=log)

    def ticks() -> list[tuple[str, int]]:
        pairs = (line.split() for line in (tmp_path / "ticks").read_text().splitlines())
        return [(due, int(pid)) for due, pid in pairs]

    def workers() -> set[int]:
        return {pid for _, pid in ticks()}

    eventually(lambda: len(workers()) == 3, within=30)
    check(f"http://127.0.0.1:{port}/")
    before = workers()
    server.send_signal(signal.SIGHUP)
    eventually(lambda: len(workers() - before) == 3, within=30)
    server.terminate()
    assert server.wait(timeout=20) == 0

    dues = Counter(due for due, _ in ticks())
    assert [due for due, count in dues.items() if count > 1] == []
    assert server.pid not in workers(), "the master only forks"
    store = SqliteStore(tmp_path / "rota.db")
    assert {run.outcome for run in store.runs("shop", limit=1000)} <= {Outcome.OK, Outcome.MISSED, Outcome.SKIPPED}
    assert store.heartbeats() == [], "every worker said goodbye"
    store.close()
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


def test_django_commands_other_than_serving_run_no_jobs(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(DJANGO)
    process = spawn(sys.executable, "app.py", "check", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    assert b"started False" in out


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        (["/venv/bin/gunicorn", "shop.wsgi"], {}, True),
        (["/venv/bin/uvicorn", "shop:app", "--reload"], {}, True),
        (["manage.py", "migrate"], {}, False),
        (["manage.py"], {}, False),
        (["manage.py", "runserver"], {}, False),
        (["manage.py", "runserver"], {"RUN_MAIN": "true"}, True),
        (["manage.py", "runserver", "--noreload"], {}, True),
        (["/venv/bin/flask", "shell"], {}, False),
        (["/venv/bin/flask", "run"], {}, True),
        (["/venv/bin/flask", "run", "--debug"], {}, False),
        (["/venv/bin/flask", "run"], {"FLASK_DEBUG": "1"}, False),
        (["/venv/bin/flask", "run", "--debug"], {"WERKZEUG_RUN_MAIN": "true"}, True),
        (["/venv/lib/python3.11/site-packages/flask/__main__.py", "shell"], {}, False),
    ],
)
def test_which_processes_serve(argv: list[str], environ: dict[str, str], expected: bool) -> None:
    assert serves(argv, environ) is expected


def test_health_has_a_small_server_of_its_own() -> None:
    server = make_server(HealthWsgi(Health(MemoryStore(), FakeClock())))
    assert server.server_address[0] == "127.0.0.1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        status, body = get(f"http://127.0.0.1:{server.server_port}/health/cron")
        assert (status, json.loads(body)["services"]) == (200, [])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_hooks_run_after_plain_functions_in_their_thread() -> None:
    rota, seen = Scheduler("memory://"), list[tuple[str, int]]()
    rota.after_run(lambda: seen.append(("hook", threading.get_ident())))
    rota.job(lambda: seen.append(("job", threading.get_ident())), name="work")
    with rota:
        rota.trigger("work").wait("5s")
    assert [name for name, _ in seen] == ["job", "hook"]
    assert len({thread for _, thread in seen}) == 1
