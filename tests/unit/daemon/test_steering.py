"""The daemon's own environment: `ROTA_*`, and PM2's names where those are not set."""

from __future__ import annotations

import logging

import pytest

from rota.daemon import steering
from rota.home import STEERING, setting
from rota.home import steering as set_ones
from rota.process.defaults import Defaults

PM2 = {
    "PM2_KILL_TIMEOUT": "5000",
    "PM2_KILL_SIGNAL": "sigterm",
    "PM2_KILL_USE_MESSAGE": "true",
    "PM2_GRACEFUL_LISTEN_TIMEOUT": "250",
    "EXP_BACKOFF_RESET_TIMER": "60000",
    "PM2_PROCESS_INSTANCE_VAR": "WORKER",
    "PM2_NODE_OPTIONS": "--trace-warnings --max-old-space-size=64",
}
ALL = Defaults(
    kill_timeout=5.0,
    stop_signal="SIGTERM",
    shutdown_with_message=True,
    listen_timeout=0.25,
    backoff_reset=60.0,
    instance_var="WORKER",
    node_options=("--trace-warnings", "--max-old-space-size=64"),
)


def test_pm2s_names_are_honoured() -> None:
    assert steering.defaults(PM2) == ALL
    assert steering.defaults({}) == Defaults()


def test_rotas_own_come_first_and_an_empty_one_switches_pm2s_off() -> None:
    ours = {"ROTA_KILL_TIMEOUT": "1", "ROTA_KILL_SIGNAL": "", "ROTA_EXP_BACKOFF_RESET_TIMER": "2000"}
    found = steering.defaults({**PM2, **ours})
    assert (found.kill_timeout, found.stop_signal, found.backoff_reset) == (0.001, "SIGINT", 2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("KILL_TIMEOUT", "soon"), ("KILL_TIMEOUT", "-5"), ("KILL_SIGNAL", "SIGNOPE"), ("NODE_OPTIONS", "--a='b")],
)
def test_nonsense_is_logged_without_its_value(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert steering.defaults({f"PM2_{name}": value}) == Defaults()
    assert f"ROTA_{name}" in caplog.text
    assert value not in caplog.text


def test_what_a_boot_unit_repeats() -> None:
    assert set_ones(PM2) == {
        f"ROTA_{name}": setting(name, environ=PM2) for name in STEERING if setting(name, environ=PM2)
    }
    assert set_ones({"ROTA_LOG_DATE_FORMAT": "", "PATH": "/bin"}) == {"ROTA_LOG_DATE_FORMAT": ""}
