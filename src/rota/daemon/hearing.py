"""What a process says over its IPC channel, as facts about its instance. Loaded when the first channel is opened."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rota.daemon.talk import node_messages as node
from rota.daemon.talk.ipc import Channel
from rota.process.events import BecameReady
from rota.wire.messages import ProcessEvent

if TYPE_CHECKING:
    import socket

    from rota.daemon.entry import Entry
    from rota.daemon.world import World


def open_channel(world: World, entry: Entry, gen: int, ipc: socket.socket) -> None:
    """Listen to the process, and let others speak to it."""

    def closed() -> None:
        entry.channel = None

    entry.channel = Channel(ipc, partial(_heard, world, entry, gen), closed)


def _heard(world: World, entry: Entry, gen: int, event: node.NodeEvent) -> None:
    told = entry.told
    match event:
        case node.SaidReady():
            world.supervisor.handle(entry.id, BecameReady(gen, "message"))
        case node.NodeVersion(version):
            told.node_version = version
        case node.ActionOffered(name, action):
            text = f'"{name}"'.encode()
            told.actions = [known for known in told.actions if bytes(known.get("action_name", b"")) != text]
            told.actions.append(action)
        case node.ActionReply(name, returned):
            if waiting := entry.replies.get(name):
                waiting.pop(0)(bytes(returned).decode("utf-8", "replace"))
        case node.MetricsReported(metrics):
            told.metrics.update(metrics)
        case node.OptionsReported(options):
            told.options.update(options)
        case node.ExceptionReported():
            _publish(world, entry, "process:exception")
        case node.BusEvent(type_):
            _publish(world, entry, type_)
        case node.NodeInternal(cmd, fields) if world.clusters.heard(entry, gen, cmd, fields):
            pass
        case node.Message() | node.NodeInternal():
            _publish(world, entry, "process:msg")


def _publish(world: World, entry: Entry, event: str) -> None:
    world.bus.publish(ProcessEvent(world.clock.now(), event, entry.id, entry.name))
