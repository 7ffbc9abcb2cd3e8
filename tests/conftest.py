"""How every test runs. In CI (CI=true) one that skips for want of a program or a service fails: what the gate does not run,
nobody knows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator

# How long an example takes says more of what else the machine is doing than of the code.
settings.register_profile("rota", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rota")

FACTS = (
    "needs root",
    "only root",
    "needs user namespaces",
    "a small disk cannot be mounted",
    "this kernel",
    "this machine",
    "this user",
    "Linux only",
)
"""How the reason of a skip begins when no installation could change it."""


def _may_skip(reason: str) -> bool:
    return reason.removeprefix("Skipped: ").startswith(FACTS)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail") and not _may_skip(_reason(report)):
        report.outcome = "failed"
        report.longrepr = f"{_reason(report)}: in CI it has to be there; see PROGRAMS in .ci/run"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") == "true":
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if os.environ.get("CI") == "true":
        _judge(report)
    return report
