"""What probe tests share: a loop for one scenario, targets with given answers, and who listens to the verdicts."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.process.manual_clock import ManualClock


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(main())


class Script:
    """A target with given answers: "" is good, None never comes; the last one repeats. Notes when it was asked."""

    def __init__(self, clock: ManualClock, *answers: str | None) -> None:
        self._clock, self._answers = clock, list(answers)
        self.asked: list[float] = []

    async def ask(self) -> str:
        self.asked.append(round(self._clock.monotonic(), 3))
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if said is None:
            await asyncio.Event().wait()
        assert said is not None
        return said


class Verdicts:
    def __init__(self) -> None:
        self.said: list[str] = []

    def ready(self) -> None:
        self.said.append("ready")

    def failed(self, why: str) -> None:
        self.said.append(why)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
