"""When probes ask, and what they conclude, by a clock that stands still."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from rota.clock import SystemClock
from rota.daemon.procs.descent import Reapers
from rota.daemon.talk.probe_command import CommandTarget, Surroundings
from rota.daemon.talk.probe_targets import HttpTarget, LogTarget, TcpTarget
from rota.daemon.talk.probes import LivenessProbe, ReadinessProbe, target_of
from rota.process.spec import ProbeSpec
from tests.process.manual_clock import ManualClock
from tests.process.probe_bed import Script, Verdicts, free_port, run

if TYPE_CHECKING:
    from pathlib import Path

HERE = Surroundings(cwd="/", environ={"PATH": os.environ["PATH"], "TOLD": "by the app"})


def test_readiness_needs_that_many_good_answers_in_a_row() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        script = Script(clock, "", "no", "", "", "")
        spec = ProbeSpec(kind="exec", command=("x",), initial_delay=2.0, interval=3.0, successes=3, deadline=60.0)
        ReadinessProbe(spec, script, clock, verdicts.ready, verdicts.failed)
        await clock.advance(14.0)
        assert (script.asked, verdicts.said) == ([2.0, 5.0, 8.0, 11.0, 14.0], ["ready"])
        await clock.advance(100.0)
        assert (len(script.asked), verdicts.said, clock.asleep) == (5, ["ready"], 0)

    run(scenario)


def test_an_app_that_starts_is_asked_eagerly() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        script = Script(clock, "no", "no", "no", "")
        ReadinessProbe(ProbeSpec(kind="http", interval=1.0), script, clock, verdicts.ready, verdicts.failed)
        await clock.advance(1.0)
        assert (script.asked, verdicts.said) == ([0.0, 0.05, 0.15, 0.35], ["ready"])

    run(scenario)


def test_the_deadline_includes_the_delay_and_tells_the_last_reason() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        script = Script(clock, "answered 503")
        spec = ProbeSpec(kind="exec", command=("x",), initial_delay=3.0, interval=4.0, deadline=10.0)
        ReadinessProbe(spec, script, clock, verdicts.ready, verdicts.failed)
        await clock.advance(9.9)
        assert verdicts.said == []
        await clock.advance(50.0)
        assert verdicts.said == ["not ready within 10 s: answered 503"]
        assert (script.asked, clock.asleep) == ([3.0, 7.0], 0)

    run(scenario)


def test_the_deadline_ends_an_attempt_under_way() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        spec = ProbeSpec(kind="tcp", target="x:1", timeout=100.0, deadline=5.0)
        ReadinessProbe(spec, Script(clock, None), clock, verdicts.ready, verdicts.failed)
        await clock.advance(5.0)
        assert (verdicts.said, clock.asleep) == (["not ready within 5 s"], 0)

    run(scenario)


def test_a_slow_attempt_does_not_make_the_next_one_come_early_or_overlap() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        script = Script(clock, None, None, "no")
        spec = ProbeSpec(kind="tcp", target="x:1", interval=1.0, timeout=2.5, failures=3)
        LivenessProbe(spec, script, clock, verdicts.failed)
        await clock.advance(20.0)
        assert script.asked == [0.0, 2.5, 5.0]
        assert verdicts.said == ["no (3 times in a row)"]

    run(scenario)


def test_liveness_forgives_what_recovers() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        script = Script(clock, "no", "no", "", "no", "no", "", "no", "no", "away")
        spec = ProbeSpec(kind="http", target="x", initial_delay=10.0, interval=2.0, failures=3)
        probe = LivenessProbe(spec, script, clock, verdicts.failed)
        await clock.advance(25.9)
        assert verdicts.said == []
        await clock.advance(0.2)
        assert verdicts.said == ["away (3 times in a row)"]
        await clock.advance(100.0)
        assert (len(script.asked), len(verdicts.said), clock.asleep) == (9, 1, 0)
        probe.cancel()

    run(scenario)


def test_one_failure_may_be_enough() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        LivenessProbe(ProbeSpec(kind="http", failures=1), Script(clock, "gone"), clock, verdicts.failed)
        await clock.turn()
        assert verdicts.said == ["gone"]

    run(scenario)


@pytest.mark.parametrize("moment", [0.0, 1.0, 2.5])
def test_a_cancelled_probe_is_silent_and_leaves_nothing(moment: float) -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        spec = ProbeSpec(kind="exec", command=("x",), initial_delay=1.0, interval=1.0, deadline=5.0, failures=1)
        probes: list[ReadinessProbe | LivenessProbe] = [
            ReadinessProbe(spec, Script(clock, "no", None), clock, verdicts.ready, verdicts.failed),
            LivenessProbe(spec, Script(clock, "", None), clock, verdicts.failed),
        ]
        await clock.advance(moment)
        for probe in probes:
            probe.cancel()
        await clock.advance(100.0)
        assert (verdicts.said, clock.asleep) == ([], 0)
        assert len(asyncio.all_tasks()) == 1

    run(scenario)


def test_every_kind_has_its_target() -> None:
    specs = [
        (ProbeSpec(kind="http", target="http://localhost/"), HttpTarget),
        (ProbeSpec(kind="tcp", target="localhost:1"), TcpTarget),
        (ProbeSpec(kind="exec", command=("true",)), CommandTarget),
        (ProbeSpec(kind="log", target="x"), LogTarget),
    ]
    for spec, kind in specs:
        assert isinstance(target_of(spec, HERE, Reapers(None)), kind)


def test_a_real_app_becomes_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        port = free_port()
        spec = ProbeSpec(kind="http", target=f"http://127.0.0.1:{port}/", interval=5.0, deadline=20.0)
        target = target_of(spec, HERE, Reapers(None))
        ReadinessProbe(spec, target, SystemClock(), lambda: verdict.set_result("ready"), verdict.set_result)
        await asyncio.sleep(0.02)
        assert not verdict.done()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", port):
            assert await verdict == "ready"

    run(scenario)
