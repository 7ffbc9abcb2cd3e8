"""The example: both descriptions say the same, and its programs do what they say."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem.load import load_file
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota.process.spec import AppSpec

SHOP = Path(__file__).resolve().parents[3] / "examples/shop"
NAMES = ["api", "worker", "price-snapshot", "stock-scraper", "review-scraper"]


def specs(name: str, env_name: str = "", cwd: Path = SHOP) -> dict[str, AppSpec]:
    loaded = load_file(str(SHOP / name), cwd=str(cwd), environ=dict(os.environ), env_name=env_name, engine="embedded")
    assert loaded.warnings == ()
    return {spec.name: spec for spec in loaded.specs}


def test_the_ecosystem_file(tmp_path: Path) -> None:
    found = specs("ecosystem.config.js", "production", tmp_path)

    assert list(found) == NAMES
    assert {name: spec.job.cron for name, spec in found.items() if spec.job} == {
        "price-snapshot": "0 2 * * *",
        "stock-scraper": "*/30 * * * *",
        "review-scraper": "15 * * * *",
    }
    assert {spec.cwd for spec in found.values()} == {str(SHOP)}
    assert found["api"].env["SHOP_LOG"] == "info"
    assert found["api"].logs.out_file == str(SHOP / "logs/api-out.log")
    assert found["worker"].args == ("--poll", "0.5")


def test_both_files_describe_the_same_shop() -> None:
    pm2, native = specs("ecosystem.config.js"), specs("rota.toml")

    assert list(pm2) == list(native)
    for name, spec in pm2.items():
        twin = native[name]
        assert (spec.exec_path, spec.args, spec.cwd) == (twin.exec_path, twin.args, twin.cwd)
        assert (spec.max_memory, spec.stop.kill_timeout) == (twin.max_memory, twin.stop.kill_timeout)
        assert (spec.job is None) == (twin.job is None)
        if spec.job and twin.job:
            assert spec.job.cron == twin.job.cron
        assert spec.env.keys() == twin.env.keys()


class Shop:
    """The programs, run as the ecosystem file says, on a database and a port of their own."""

    def __init__(self, folder: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.environ = {**os.environ, "SHOP_DB": str(folder / "shop.db"), "PORT": str(self.port), "SHOP_LOG": "warning"}
        self.specs = specs("ecosystem.config.js")
        self.start = start

    def command(self, name: str) -> list[str]:
        # The interpreter these tests run with has what requirements.txt names; which one rota would choose is tested elsewhere.
        return [sys.executable, self.specs[name].exec_path, *self.specs[name].args]

    def service(self, name: str) -> subprocess.Popen[str]:
        return self.start(self.command(name), cwd=SHOP, env=self.environ, stdout=subprocess.PIPE, text=True)

    def job(self, name: str, *more: str) -> tuple[int, str]:
        done = subprocess.run(
            [*self.command(name), *more], cwd=SHOP, env=self.environ, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def answers(self) -> bool:
        try:
            return self.ask("/healthz")[0] == 200
        except OSError:
            return False


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    started: list[subprocess.Popen[str]] = []

    def start(*args: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(*args, **options))
        return started[-1]

    yield Shop(tmp_path, start)
    for process in started:
        process.kill()
        process.communicate()


def test_an_order_goes_through_and_scrapers_find_things(shop: Shop) -> None:
    api, worker = shop.service("api"), shop.service("worker")
    eventually(shop.answers, within=30)

    assert shop.ask("/orders", {"product": 9, "quantity": 1}) == (404, {"error": "no such product"})
    assert shop.ask("/orders", {"quantity": 1})[0] == 400
    assert shop.ask("/orders", {"product": 1, "quantity": 0})[0] == 400
    status, order = shop.ask("/orders", {"product": 1, "quantity": 2})
    assert (status, order["state"]) == (201, "new")
    shop.ask("/orders", {"product": 6, "quantity": 1})
    eventually(lambda: [o["state"] for o in shop.ask("/orders")[1]] == ["rejected", "done"], within=20)
    assert shop.ask(f"/orders/{order['id']}")[1]["total_cents"] == 9800
    assert shop.ask("/orders/99")[0] == 404

    assert shop.job("price-snapshot", "--check")[0] == 1
    assert shop.job("price-snapshot")[0] == 0
    assert shop.job("price-snapshot", "--check")[0] == 0
    assert shop.job("stock-scraper") == (0, "stock of 6 products read\n")
    assert shop.job("review-scraper") == (0, "reviews of 5 products read\n")
    products = {product["id"]: product for product in shop.ask("/products")[1]}
    assert (products[6]["stock"], products[1]["stars"]) == (18, 4.5)
    assert [snapshot["source"] for snapshot in shop.ask("/healthz")[1]["snapshots"]] == ["prices", "reviews", "stock"]

    worker.send_signal(signal.SIGINT)
    output = worker.communicate(timeout=20)[0]
    assert (worker.returncode, output.splitlines()[0], output.splitlines()[-1]) == (0, "waiting for orders", "ended")
    api.send_signal(signal.SIGINT)
    assert api.wait(timeout=20) in (0, -signal.SIGINT)
