"""describe, env, why, report: looking closely."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rota.daemon.jobs.guests import is_no_app
from rota.daemon.picture import record_of, unwritable_logs
from rota.daemon.verbs.target import find, look_up
from rota.errors import TargetNotFound
from rota.process import environ
from rota.process.paths import NOWHERE
from rota.process.state import Failed
from rota.render.text import Style, printable
from rota.suggest import suggestion
from rota.version import __version__

if TYPE_CHECKING:
    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.process.record import Record
    from rota.render.describe import Findings, TreeProcess
    from rota.wire.messages import Describe, Env, Report, Why

LAST_LINES = 8
EVENTS_A_LINE = 8
"""Events of the ledger to read for a line of the story: a crash loop is three a round, and becomes one line."""
_TAIL_BYTES = 16 * 1024


async def describe(world: World, request: Describe, answer: Answer, inbox: Inbox) -> None:
    from rota.render.describe import describe as page

    ids = look_up(world, request.target, request.cwd).ids
    if not ids:
        inside = is_no_app(world, request.target)
        if inside is not None:
            raise inside
        near = suggestion(request.target, [entry.name for entry in world.supervisor.entries.values()])
        hint = near or "`rota list` shows what there is"
        raise TargetNotFound(f"{request.target} doesn't exist", hint)
    world.sample()
    for id in ids:
        entry = world.supervisor.entries[id]
        record = record_of(world, entry)
        findings = _findings(world, entry, record, request.local_env)
        answer.data([record, findings])
        answer.text(page(record, findings, width=answer.width, style=Style(answer.colour), now=record.now) + "\n")


def _findings(world: World, entry: Entry, record: Record, local_env: dict[str, str] | None) -> Findings:
    from rota.render.describe import Findings

    error_lines = last_lines(record.error_path)
    troubled = isinstance(entry.instance.actual, Failed) or entry.instance.unstable > 0
    out_lines = last_lines(record.out_path) if troubled and not error_lines else ()
    return Findings(
        tree=tuple(_tree(entry)),
        port=_port(record, troubled=troubled),
        out_lines=tuple(line.decode("utf-8", "replace") for line in out_lines),
        error_lines=tuple(line.decode("utf-8", "replace") for line in error_lines) if troubled else (),
        unwritable=unwritable_logs(world, entry),
        logs=world.settings.told(record.spec.logs),
        divergent=_divergent(entry, local_env),
    )


def last_lines(path: str, count: int = LAST_LINES) -> tuple[bytes, ...]:
    """The end of a log; nothing when there is none."""
    if not path or path == NOWHERE:
        return ()
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return tuple(file.read().splitlines()[-count:])
    except OSError:
        return ()


def _tree(entry: Entry) -> list[TreeProcess]:
    from rota.daemon.procs.proc_stat import read_stat
    from rota.render.describe import TreeProcess

    found: list[TreeProcess] = []
    page = os.sysconf("SC_PAGE_SIZE")
    for member in entry.tree.members() if entry.tree is not None else ():
        stat = read_stat(member.pid)
        if stat is not None:
            command = stat.comm.decode("utf-8", "replace")
            found.append(TreeProcess(member.pid, command, member.depth, stat.rss_pages * page))
    return found


def _port(record: Record, *, troubled: bool) -> str:
    """Who holds the port that the app could not have, where its last words tell of one."""
    if not troubled:
        return ""
    from rota.daemon.procs.ports import diagnose, holder_of

    for path in (record.error_path, record.out_path):
        port = diagnose(b"\n".join(last_lines(path, 60)), fallback=_declared_port(record))
        if port is not None:
            holder = holder_of(port)
            return (
                f"port {port} is held by {holder.describe()}" if holder else f"port {port} was in use; it is free now"
            )
    return ""


def _declared_port(record: Record) -> int | None:
    told = record.spec.env.get("PORT", "")
    return int(told) if told.isascii() and told.isdigit() else record.spec.port


def _divergent(entry: Entry, local_env: dict[str, str] | None) -> dict[str, str] | None:
    if local_env is None:
        return None
    live = {**entry.spec.shell_env, **environ.declared(entry.spec, entry.instance)}
    return {name: value for name, value in sorted(live.items()) if local_env.get(name) != value}


async def env(world: World, request: Env, answer: Answer, inbox: Inbox) -> None:
    """What the process was given; asked for by name, so values are shown."""
    from rota.render.env import env_diff, env_text

    _, entries = find(world, request.target, request.cwd)
    entry = entries[0]
    live = _live_environ(world, entry)
    answer.data(live)
    if request.next_env is None:
        answer.text(env_text(live) + "\n")
        return
    spec = entry.spec
    present = {**spec.shell_env, **spec.env}
    answer.text(env_diff(present, request.next_env, Style(answer.colour)) + "\n")


def _live_environ(world: World, entry: Entry) -> dict[str, str]:
    record = record_of(world, entry)
    gen = entry.instance.gen
    return environ.build(record, home=world.home.path, home_id=world.home_id, gen=gen, extra={"ROTA_DB": world.home.db})


async def why(world: World, request: Why, answer: Answer, inbox: Inbox) -> None:
    """The story of an app: why it restarted, why it did not run."""
    from rota.render.reason import reason
    from rota.render.story import story

    _, entries = find(world, request.target, request.cwd)
    for name in dict.fromkeys(entry.name for entry in entries):
        events = world.ledger.events(name, request.limit * EVENTS_A_LINE)
        answer.data(events)
        for entry in entries:
            if entry.name == name:
                answer.text(f"{name} ({entry.id}): {reason(record_of(world, entry))}\n")
        for line in story(events, world.clock.now(), limit=request.limit):
            answer.text(f"  {line}\n")
        _last_words(world, answer, [e for e in entries if e.name == name and isinstance(e.instance.actual, Failed)])


def _last_words(world: World, answer: Answer, entries: list[Entry]) -> None:
    """Of those that were given up: what they said at last is mostly the reason."""
    for port in sorted({_port(record_of(world, entry), troubled=True) for entry in entries} - {""}):
        answer.text(f"  {port}\n")
    for path in sorted({record_of(world, entry).error_path for entry in entries}):
        if lines := last_lines(path):
            answer.text(f"  its last words, in {path}:\n")
            answer.text("".join(f"    {printable(line.decode('utf-8', 'replace'))}\n" for line in lines))


async def report(world: World, request: Report, answer: Answer, inbox: Inbox) -> None:
    entries = world.supervisor.entries.values()
    facts = {
        "version": __version__,
        "python": sys.version.split()[0],
        "pid": os.getpid(),
        "keeper": os.getppid() if world.keeper.alive else 0,
        "home": world.home.path,
        "runtime directory": world.run_dir,
        "uptime": round(world.clock.now() - world.started),
        "instances": len(world.supervisor.entries),
        "running": sum(entry.child is not None for entry in entries),
        "unknown processes": len(world.strays or ()),
        "ledger": world.ledger.degraded or "writable",
        "logs": f"{len(troubled)} cannot be written" if (troubled := world.streams.files.troubled) else "writable",
        "descriptors": len(os.listdir("/proc/self/fd")),
    }
    answer.data(facts)
    for name, value in facts.items():
        answer.text(f"{name:20}: {value}\n")
