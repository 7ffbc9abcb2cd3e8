"""Log sources, flush, reloadLogs, new settings, and events as they happen."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from rota.process.spec import LogSpec
from rota.wire.messages import (
    Act,
    Data,
    Describe,
    Flush,
    LogSource,
    LogSources,
    ProcessEvent,
    Reconfigure,
    ReloadLogs,
    Report,
    Subscribe,
    Why,
)
from tests.daemon.host import kill, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")
TICKING = shell("i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.02; done")


def test_sources_tell_where_output_lies(host: Host) -> None:
    host.start_all([spec("api", SLEEP), spec("quiet", SLEEP, logs=LogSpec(disabled=True))])
    sources = msgspec.convert(host.call(LogSources()), list[LogSource])
    assert [(source.name, source.out, source.running) for source in sources] == [
        ("api", f"{host.path}/logs/api-out.log", True),
        ("quiet", "/dev/null", True),
    ]
    assert host.call(LogSources(target="nope")) == []


def test_both_streams_have_files_of_their_own(host: Host) -> None:
    host.start("api", shell("echo out; echo err >&2; exec sleep 1000"))
    host.logs("api", "out\n")
    host.logs("api", "err\n", kind="error")
    assert (host.log("api"), host.log("api", "error")) == ("out\n", "err\n")


def test_a_combined_file_and_files_of_ones_own(host: Host, work: Path) -> None:
    logs = LogSpec(out_file=f"{work}/o.log", error_file=f"{work}/e.log", log_file=f"{work}/all.log")
    host.start("api", shell("echo out; echo err >&2; exec sleep 1000"), logs=logs)
    eventually(
        lambda: sorted((work / "all.log").read_text().split()) == ["err", "out"] if (work / "all.log").exists() else 0
    )
    assert ((work / "o.log").read_text(), (work / "e.log").read_text()) == ("out\n", "err\n")


def test_flush_empties_the_files_of_an_app_and_it_goes_on(host: Host) -> None:
    host.start_all([spec("api", TICKING), spec("other", shell("echo stays; exec sleep 1000"))])
    host.logs("api", "tick 3\n")
    host.logs("other", "stays")
    shown = host.show(Flush(target="api"))
    assert f"{host.path}/logs/api-out.log" in shown.out
    assert "Logs flushed" in shown.out
    assert "tick 1\n" not in host.log("api")
    last = len(host.log("api"))
    eventually(lambda: len(host.log("api")) > last)
    assert host.log("other") == "stays\n"
    shown = host.show(Flush(target="aip"))
    assert shown.code == 0
    assert shown.out == '[rota][WARN] no app matches: aip — did you mean "api"?\n'


def test_flush_of_all_empties_rotas_own_log_too(host: Host) -> None:
    host.start("api", TICKING)
    host.logs("api", "tick 3\n")
    assert "api" in host.own_log
    host.call(Flush())
    assert "[api:0] start" not in host.own_log


@pytest.mark.parametrize("how", ["verb", "signal"])
def test_reload_logs_opens_them_anew(host: Host, how: str) -> None:
    host.start("api", TICKING)
    host.logs("api", "tick 3\n")
    path = host.path / "logs/api-out.log"
    path.rename(f"{path}.moved")
    if how == "verb":
        assert host.show(ReloadLogs()).out == "Reloading all logs...\nAll logs reloaded\n"
    else:
        os.kill(host.daemon, signal.SIGUSR2)
    host.logs("api", "tick")
    moved, fresh = (host.path / "logs/api-out.log.moved").read_text(), host.log("api")
    lines = (moved + fresh).splitlines()
    assert lines == [f"tick {number}" for number in range(len(lines))]


def test_a_log_that_cannot_be_written_is_told_where_people_look(host: Host) -> None:
    host.start("app", TICKING)
    host.logs("app", "tick 3\n")
    path = host.path / "logs/app-out.log"
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    told = f"cannot be written: {path}: is a directory"
    assert f"the log of app (0) {told} (output waits" in eventually(lambda: host.cli("list").err)
    assert f"its log {told}" in host.show(Describe(target="app")).out
    assert f"app (0): its log {told}" in host.cli("logs", "app", "--nostream").err
    assert host.call(Report())["logs"] == "1 cannot be written"
    events = eventually(lambda: [one[1:] for one in host.call(Why(target="app")) if one[2] == "log unwritable"])
    assert events == [[0, "log unwritable", f"{path}: is a directory"]]
    assert f"its log cannot be written: {path}" in host.show(Why(target="app")).out
    path.rmdir()
    eventually(lambda: host.call(Report())["logs"] == "writable")
    assert host.cli("list").err == ""
    assert "cannot be written" not in host.show(Describe(target="app")).out
    host.call(Act(action="stop", targets=("app",)))
    lines = (path.with_suffix(".away").read_text() + path.read_text()).splitlines()
    assert lines == [f"tick {number}" for number in range(len(lines))], "what came meanwhile has waited"


def test_rotas_own_log_counts_what_it_could_not_write(host: Host) -> None:
    path = host.path / "rota.log"
    path.unlink()
    path.mkdir()
    host.start("app", SLEEP)
    assert f"the log of rota cannot be written: {path}: is a directory" in eventually(lambda: host.cli("list").err)
    path.rmdir()
    eventually(lambda: host.call(Report())["logs"] == "writable")
    assert re.match(r"\[rota\] dropped \d+ lines, which could not be written\n", path.read_text())


def test_new_settings_are_taken_up_by_running_apps(host: Host) -> None:
    host.start("api", shell("while :; do echo 0123456789012345678901234567890123456789; sleep 0.005; done"))
    host.logs("api", "0123")
    (host.path / "conf.json").write_text(json.dumps({"rota-logrotate": {"max_size": "2K", "retain": "2"}}))
    host.call(Reconfigure())
    eventually(lambda: len(list((host.path / "logs").glob("api-out__*"))) >= 2, within=20)


def test_describe_tells_the_rotation_that_is_in_force(host: Host) -> None:
    host.start_all([spec("api", SLEEP), spec("own", SLEEP, logs=LogSpec(max_size=4096, rotate_cron=""))])
    assert "over 10.0mb, at 0 0 * * *, keeps 30, gzip, at most 1.0gb in all" in host.show(Describe(target="api")).out
    settings = {
        "max_size": "20M",
        "retain": "all",
        "compress": "false",
        "rotateInterval": "0 3 * * *",
        "max_total": "0",
    }
    (host.path / "conf.json").write_text(json.dumps({"pm2-logrotate": settings}))
    host.call(Reconfigure())
    assert "over 20.0mb, at 0 3 * * *, keeps all, not compressed" in host.show(Describe(target="api")).out
    assert "over 4.0kb, keeps all, not compressed" in host.show(Describe(target="own")).out


def test_settings_that_mean_nothing_leave_the_former_ones(host: Host) -> None:
    (host.path / "conf.json").write_text('{"rota-logrotate": {"max_size": "many"}}')
    host.call(Reconfigure())
    (host.path / "conf.json").write_text("{")
    host.call(Reconfigure())
    assert "the former ones stay" in host.own_log
    assert host.start("api", SLEEP) == [0]


def test_events_are_told_as_they_happen(host: Host) -> None:
    with host.connected() as connection:
        replies = connection.replies(Subscribe())
        told: list[ProcessEvent] = []

        def listen() -> None:
            for reply in replies:
                if isinstance(reply, Data):
                    told.append(msgspec.convert(reply.value, ProcessEvent))
                    if told[-1].event == "delete":
                        return

        listening = threading.Thread(target=listen)
        listening.start()
        eventually(lambda: host.start("probe", SLEEP) and host.call(Act(action="stop", targets=("probe",))) is not None)
        eventually(lambda: told)
        host.start("api", SLEEP)
        pid = host.pid("api")
        kill(pid)
        eventually(lambda: host.pid("api") not in (0, pid))
        host.call(Act(action="delete", targets=("api",)))
        listening.join(10)
    assert [event.event for event in told if event.name == "api"] == [
        "start",
        "online",
        "exit",
        "restart",
        "online",
        "exit",
        "delete",
    ]
