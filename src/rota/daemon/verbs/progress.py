"""Lines for people while something takes time: a mark for each instance that is done, and who is still awaited."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from rota.render.progress import progress_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry

PATIENCE = 1.0
"""Seconds of silence before people are told what is awaited."""
EVERY = 0.5
_WIPE = "\r\x1b[K"


async def shown(
    answer: Answer,
    doing: str,
    entries: Sequence[Entry],
    still: str,
    work: Callable[[set[int]], Coroutine[None, None, None]],
) -> None:
    """Run `work(left)`, which takes ids out of `left` as they are done, and show how far it is when it takes long."""
    left = {entry.id for entry in entries}
    numbers = Counter(entry.name for entry in entries)
    names = {entry.id: label(entry, numbers[entry.name] > 1) for entry in entries}
    ticker = asyncio.ensure_future(_tick(answer, doing, names, left, still))
    try:
        await work(left)
    finally:
        ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticker


def label(entry: Entry, several: bool) -> str:
    """`api`, or `api-3` where there are several of that name."""
    return f"{entry.name}-{entry.instance.number}" if several else entry.name


async def _tick(answer: Answer, doing: str, names: dict[int, str], left: set[int], still: str) -> None:
    live = answer.render is not None and answer.render.live and not answer.render.silent
    await asyncio.sleep(PATIENCE)
    written = False
    try:
        while left:
            line = progress_line(doing, len(names), [names[id] for id in sorted(left)], answer.width, still=still)
            if live:
                answer.text(_WIPE + line)
                written = True
                await asyncio.sleep(EVERY)
            else:
                answer.say(line, "info")
                await asyncio.sleep(EVERY * 10)
    finally:
        if written:
            answer.text(_WIPE)
