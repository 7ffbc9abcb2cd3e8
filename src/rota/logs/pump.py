"""Keeps every stream flowing inside one asyncio loop: reads when there is something, rests when there is little.

A FIFO that had little is left alone for 20 ms and then read without asking the kernel whether it is readable; all resting
ones share one timer. One that was full is read again at once, but only a bounded amount per turn of the loop, so that a
flooding app starves neither the others nor the daemon. An idle stream costs nothing.

    pump = LogPump(loop, files)
    pump.add(drain)
    await pump.wait_idle(drain)        # all that was written so far is in the files
    pump.remove(drain)                 # the process is gone: drain, finish the last line, close
    pump.close()
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Final

from rota.logs.drain import REST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.logs.drain import Drain, DrainResult
    from rota.logs.files import LogFiles

TURN_BYTES: Final = 1024 * 1024
"""Bytes of one stream per turn of the loop."""
TURN_STREAMS: Final = 64
"""Resting streams looked at per turn of the loop."""
CROWD: Final = 64
CROWD_REST_SECONDS: Final = 0.05
"""With more resting streams than CROWD the common rest is longer: less work for the same bytes."""
LONGEST_SLEEP_SECONDS: Final = 3600.0
"""Rotation by time follows the wall clock, which may be set: it is looked at this often at least."""


class _State(Enum):
    WATCHED = 1  # the loop tells when the FIFO is readable
    RESTING = 2  # read at the next beat
    TIMED = 3  # read at a time of its own
    STILL = 4  # ended or removed


class _Stream:
    __slots__ = ("drain", "handle", "state")

    def __init__(self, drain: Drain) -> None:
        self.drain = drain
        self.state = _State.STILL
        self.handle: asyncio.Handle | None = None


class LogPump:
    """Drives drains. Belongs to the loop's thread.

    Args:
        loop: the running loop.
        files: the registry, whose rotations by time and owed lines are seen to.
        on_end: called when no process has a stream's FIFO open any more; the stream stays until `remove`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, files: LogFiles, *, on_end: Callable[[Drain], None] | None = None
    ) -> None:
        self._loop = loop
        self._files = files
        self._on_end = on_end
        self._streams: dict[Drain, _Stream] = {}
        self._resting: list[_Stream] = []
        self._beat: asyncio.Handle | None = None
        self._tick: asyncio.Handle | None = None
        self._tick_at = float("inf")

    def add(self, drain: Drain) -> None:
        """Keep this stream flowing from now on."""
        stream = self._streams[drain] = _Stream(drain)
        self._watch(stream)

    def remove(self, drain: Drain, *, final: bool = True) -> None:
        """Stop driving a stream.

        Args:
            drain: one that was added; others are ignored.
            final: write all that is left, whole lines or not, close the FIFO and release the files. Blocks for at most two
                pipes' worth. False: leave it as it is, for whoever goes on with it.
        """
        stream = self._streams.pop(drain, None)
        if stream is None:
            return
        self._hold(stream)
        if final:
            drain.finish()
            drain.close()
            self._see_to_tick()

    async def wait_idle(self, drain: Drain) -> None:
        """Return when what was in the FIFO is in the files, but for the beginning of a line that is still being written."""
        stream = self._streams.get(drain)
        left = drain.waiting if stream else 0
        while stream is not None and stream.state is not _State.STILL and left > 0 and drain.waiting > drain.held:
            result = self._run(stream)
            left -= result.moved
            await asyncio.sleep(0.0 if result.moved else result.rest or 0.0)

    def close(self) -> None:
        """Stop driving all streams; nothing is closed or finished."""
        for drain in list(self._streams):
            self.remove(drain, final=False)
        for handle in (self._beat, self._tick):
            if handle is not None:
                handle.cancel()
        self._beat = self._tick = None
        self._tick_at = float("inf")

    # -- one stream ----------------------------------------------------------------------------------------------------

    def _run(self, stream: _Stream) -> DrainResult:
        """One turn of one stream."""
        budget = TURN_BYTES
        while True:
            result = stream.drain.drain()
            budget -= result.moved
            if result.rest != 0.0 or budget <= 0:
                break
        if self._streams.get(stream.drain) is stream:  # a tap may have had it removed
            self._place(stream, result)
        if self._files.next_rotation < self._tick_at:
            self._see_to_tick()
        return result

    def _place(self, stream: _Stream, result: DrainResult) -> None:
        """Arrange for the stream's next turn."""
        if result.ended:
            self._hold(stream)
            if self._on_end is not None:
                self._on_end(stream.drain)
        elif result.rest is None:
            self._watch(stream)
        elif result.rest == REST_SECONDS:
            self._rest(stream)
        elif result.rest or stream.state is not _State.WATCHED:  # a watched one that has more is called again anyway
            self._hold(stream)
            stream.state = _State.TIMED
            stream.handle = self._loop.call_later(result.rest, self._run, stream)

    def _watch(self, stream: _Stream) -> None:
        if stream.state is not _State.WATCHED:
            self._hold(stream)
            self._loop.add_reader(stream.drain.fd, self._run, stream)
            stream.state = _State.WATCHED

    def _rest(self, stream: _Stream) -> None:
        if stream.state is not _State.RESTING:
            self._hold(stream)
            stream.state = _State.RESTING
            self._resting.append(stream)
        if self._beat is None:
            crowded = len(self._resting) > CROWD
            self._beat = self._loop.call_later(CROWD_REST_SECONDS if crowded else REST_SECONDS, self._on_beat)

    def _hold(self, stream: _Stream) -> None:
        """Cancel whatever would give the stream its next turn. In the list of resting ones it is skipped by its state."""
        if stream.state is _State.WATCHED:
            self._loop.remove_reader(stream.drain.fd)
        elif stream.handle is not None:
            stream.handle.cancel()
            stream.handle = None
        stream.state = _State.STILL

    # -- all streams ---------------------------------------------------------------------------------------------------

    def _on_beat(self) -> None:
        """Read all resting streams, some per turn of the loop; those that rest again wait for the next beat."""
        todo, self._resting = self._resting, []
        self._read(todo, 0)

    def _read(self, todo: list[_Stream], start: int) -> None:
        for stream in todo[start : start + TURN_STREAMS]:
            if stream.state is _State.RESTING:
                stream.state = _State.TIMED
                self._run(stream)
        if start + TURN_STREAMS < len(todo):
            self._beat = self._loop.call_soon(self._read, todo, start + TURN_STREAMS)
            return
        self._beat = None
        if self._resting:
            self._rest(self._resting[0])

    def _see_to_tick(self) -> None:
        """Be there when the next file is due by time, or an owed line may be written."""
        if self._tick is not None:
            self._tick.cancel()
        self._tick_at = self._files.next_rotation
        wait = min(max(self._tick_at - self._files.wall(), 0.0), LONGEST_SLEEP_SECONDS)
        self._tick = self._loop.call_later(wait, self._on_tick) if self._tick_at < float("inf") else None

    def _on_tick(self) -> None:
        self._files.tick()
        self._see_to_tick()
