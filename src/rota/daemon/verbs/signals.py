"""What is sent to a running process: a signal, a line, an action; and attach."""

from __future__ import annotations

import asyncio
import os
import signal as signals
from functools import partial
from typing import TYPE_CHECKING

from rota.daemon.perform import signal_number
from rota.daemon.procs import identity
from rota.daemon.procs.spawn import fifo_path
from rota.daemon.talk import node_messages
from rota.daemon.verbs.target import find, look_up
from rota.errors import RotaError, TargetNotFound, UsageError
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import Attach, SendLine, SendSignal, Trigger

INPUT_LIMIT = 1 << 20


async def send_signal(world: World, request: SendSignal, answer: Answer, inbox: Inbox) -> None:
    number = _number(request.signal)
    selection, entries = find(world, request.target, request.cwd)
    answer.say(f"Sending signal to process {'id' if selection.how == 'id' else 'name'} {request.target}")
    for entry in entries:
        if entry.child is None:
            answer.error(f"{entry.name} ({entry.id}) is not running")
        else:
            identity.send(entry.child.pidfd, number)
            answer.text(f"successfully sent signal {signals.Signals(number).name} to process id {entry.id}\n")


def _number(name: str) -> int:
    try:
        return signals.Signals(signal_number(name)).value
    except (KeyError, ValueError):
        near = suggestion(name.upper(), [known.name for known in signals.Signals])
        raise UsageError(f"{name} is not a signal", near or "try SIGUSR2") from None


def _one(world: World, id: str) -> Entry:
    """The instance of an id; of a name too, which PM2 refuses, where only one has it."""
    named = world.supervisor.named(id)
    if len(named) == 1:
        return named[0]
    if not id.isdecimal():
        near = suggestion(id, [entry.name for entry in world.supervisor.entries.values()])
        ids = ", ".join(str(entry.id) for entry in named)
        hint = f"{id} has the ids {ids}" if named else near or "`rota list` shows the ids"
        raise UsageError("pm_id must be a process number (not a process name)", hint)
    entry = world.supervisor.entries.get(int(id))
    if entry is None:
        raise TargetNotFound(f"Error: Process with ID <{id}> unknown.", "`rota list` shows the ids")
    return entry


async def send_line(world: World, request: SendLine, answer: Answer, inbox: Inbox) -> None:
    entry = _one(world, request.id)
    write_input(world, entry, request.line.encode() + b"\n")
    answer.say(f"Line sent to process id {entry.id}")


def write_input(world: World, entry: Entry, data: bytes) -> None:
    """Into the process's standard input, whole or not at all.

    Raises:
        RotaError: it does not run, or does not read.
    """
    if entry.child is None:
        raise RotaError(f"{entry.name} ({entry.id}) is not running", f"start it: rota start {entry.name}")
    if len(data) > INPUT_LIMIT:
        raise UsageError("more than 1 MiB at once", "send it in pieces")
    path = fifo_path(world.run_dir, entry.id, entry.child.gen, "in")
    try:
        if not os.path.exists(path):  # the runtime directory was emptied; the process has it open
            path = f"/proc/{entry.child.process.pid}/fd/0"
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RotaError(f"the standard input of {entry.name} cannot be written: {error.strerror}") from error
    try:
        if os.write(fd, data) < len(data):
            raise RotaError(f"{entry.name} does not read its standard input: only part of it went in")
    except BlockingIOError:
        raise RotaError(f"{entry.name} does not read its standard input (64 KiB are waiting there)") from None
    finally:
        os.close(fd)


async def attach(world: World, request: Attach, answer: Answer, inbox: Inbox) -> None:
    """Both outputs as they come, from now on; what the client types goes to standard input. The end of the client's
    input ends the attachment, as in PM2; the app's own input stays open."""
    entry = _one(world, request.id)
    if entry.outputs is None:
        raise RotaError(f"{entry.name} ({entry.id}) is not running", f"start it: rota start {entry.name}")
    queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(1024)

    def heard(kind: str, data: bytes) -> None:
        if not queue.full():
            queue.put_nowait((kind, data))

    entry.outputs.listen(heard)
    entry.heard.append(heard)
    typing = asyncio.ensure_future(_typed(world, entry, inbox, answer))
    try:
        while not typing.done():
            spoken = asyncio.ensure_future(queue.get())
            await asyncio.wait({typing, spoken}, return_when=asyncio.FIRST_COMPLETED)
            if not spoken.done():
                spoken.cancel()
                break
            kind, data = spoken.result()
            answer.raw(kind, data)
            await answer.drained()
    finally:
        entry.heard.remove(heard)
        if entry.outputs is not None:
            entry.outputs.unlisten(heard)
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)


async def _typed(world: World, entry: Entry, inbox: Inbox, answer: Answer) -> None:
    while (found := await inbox.next()) is not None:
        kind, data = found
        if kind == b"i":
            if not data:
                return
            try:
                write_input(world, entry, data)
            except RotaError as error:
                answer.warn(error.message)


async def trigger(world: World, request: Trigger, answer: Answer, inbox: Inbox) -> None:
    """Ask running processes to perform an action they registered, and wait for as many replies."""
    ids = look_up(world, request.target, request.cwd).ids
    entries = [world.supervisor.entries[id] for id in ids]
    able = [entry for entry in entries if entry.channel is not None and _knows(entry, request.action)]
    if not entries:
        near = suggestion(request.target, [entry.name for entry in world.supervisor.entries.values()])
        hint = near or "`rota list` shows what there is"
        raise RotaError("Not any process has received a command (offline or unexistent)", hint)
    if not able:
        if request.target.isdecimal() and entries:
            raise RotaError(f"Action doesn't exist {request.action} for {entries[0].name}", _known(entries))
        raise RotaError("Not any process has received a command (offline or unexistent)", _known(entries))
    replies: asyncio.Queue[tuple[Entry, str]] = asyncio.Queue()
    waiting = {entry: partial(_reply, replies, entry) for entry in able}
    for entry, reply in waiting.items():
        entry.replies.setdefault(request.action, []).append(reply)
        _ask(entry, request)
    answer.say(f"{len(able)} processes have received command {request.action}")
    try:
        async with asyncio.timeout(request.timeout):
            for _ in able:
                entry, text = await replies.get()
                answer.data([entry.id, text])
                answer.text(f"[{entry.name}:{entry.id}:{entry.spec.namespace}]={text}\n")
    except TimeoutError:
        answer.error(f"not every process replied within {request.timeout:g} s")
    finally:
        for entry, reply in waiting.items():
            if reply in (asking := entry.replies.get(request.action, [])):
                asking.remove(reply)


def _reply(replies: asyncio.Queue[tuple[Entry, str]], entry: Entry, text: str) -> None:
    replies.put_nowait((entry, text))


def _ask(entry: Entry, request: Trigger) -> None:
    assert entry.channel is not None
    if request.target.isdecimal():
        entry.channel.send(node_messages.trigger(request.action, request.param, id=int(request.target)))
    else:
        entry.channel.send(node_messages.trigger(request.action, request.param, name=request.target))


def _knows(entry: Entry, action: str) -> bool:
    return any(bytes(known.get("action_name", b"")) == f'"{action}"'.encode() for known in entry.told.actions)


def _known(entries: Sequence[Entry]) -> str:
    names = sorted(
        {
            bytes(a["action_name"]).decode().strip('"')
            for entry in entries
            for a in entry.told.actions
            if "action_name" in a
        }
    )
    return f"known actions: {', '.join(names)}" if names else "no action is registered by it"
