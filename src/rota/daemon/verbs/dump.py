"""save, cleardump, resurrect: the list that is put aside, PM2's way, beside the ledger that remembers by itself."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rota.daemon.lifecycle import left_wanted, start_in_order, wait_up
from rota.daemon.verbs.show import show_list
from rota.errors import StoreUnavailable
from rota.process.spec import AppSpec  # noqa: TC001 - msgspec resolves annotations at run time
from rota.process.state import Failed, process_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.answer import Answer
    from rota.daemon.entry import Entry
    from rota.daemon.server import Inbox
    from rota.daemon.world import World
    from rota.wire.messages import ClearDump, Resurrect, Save

log = logging.getLogger("rota.dump")


class Saved(msgspec.Struct, frozen=True, omit_defaults=True):
    """One app of a dump: what it is, and whether each of its instances was to run."""

    name: str
    running: list[bool]
    spec: AppSpec


async def save(world: World, request: Save, answer: Answer, inbox: Inbox) -> None:
    answer.say("Saving current process list...")
    if not world.supervisor.entries and not request.force:
        answer.warn("rota is not managing any process, skipping save...")
        answer.warn("To force saving use: rota save --force")
        return
    _write(world, _picture(world))
    answer.say(f"Successfully saved in {world.home.dump}")


async def cleardump(world: World, request: ClearDump, answer: Answer, inbox: Inbox) -> None:
    _write(world, [])
    answer.say(f"Successfully created {world.home.dump}")


async def resurrect(world: World, request: Resurrect, answer: Answer, inbox: Inbox) -> None:
    """Start what the dump has and the list has not; what the ledger wants comes back by itself."""
    known = {entry.name for entry in world.supervisor.entries.values()}
    if request.dry_run:
        _foretell(world, answer)
        return
    answer.say("Resurrecting")
    missing = [saved for saved in _read(world, answer) if saved.name not in known]
    for saved in missing:
        spec = world.settings.settled(saved.spec)
        created = world.supervisor.create([spec] * len(saved.running))
        wanted = [entry for entry, running in zip(created, saved.running, strict=True) if running]
        await start_in_order(world, wanted, "resurrected")
        answer.say(f"Process {saved.spec.exec_path} restored")
        _report(answer.warn if request.boot else answer.error, wanted)
    await wait_up(world, [entry.id for entry in left_wanted(world)])
    await show_list(world, answer)


def _report(say: Callable[[str], None], entries: list[Entry]) -> None:
    for entry in entries:
        if isinstance(entry.instance.actual, Failed):
            say(f"[{entry.name}]({entry.id}) errored: {entry.instance.actual.reason}")


def _foretell(world: World, answer: Answer) -> None:
    """What a reboot would bring back: what is wanted now, and what only the dump knows."""
    from rota.render.fate import Known, fates, fates_text

    known = [
        Known(
            entry.name,
            entry.instance.number,
            entry.instance.desired == "up",
            entry.spec.job is not None,
            entry.spec.job is not None and world.runbook.is_paused(entry.name),
        )
        for _, entry in sorted(world.supervisor.entries.items())
    ]
    lines = fates(known, {saved.name: saved.running for saved in _read(world, answer, quiet=True)})
    answer.data(lines)
    answer.text(fates_text(lines))


def _picture(world: World) -> list[Saved]:
    apps: dict[int, tuple[AppSpec, list[bool]]] = {}
    for _, entry in sorted(world.supervisor.entries.items()):
        up = entry.instance.desired == "up" or process_of(entry.instance.actual) is not None
        apps.setdefault(id(entry.spec), (entry.spec, []))[1].append(up)
    return [Saved(spec.name, running, replace(spec, instances=len(running))) for spec, running in apps.values()]


def _write(world: World, apps: list[Saved]) -> None:
    path = world.home.dump
    temporary = f"{path}.new"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(apps), indent=2))
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.replace(path, f"{path}.bak")
        os.replace(temporary, path)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}", "the former dump is untouched") from error


def _read(world: World, answer: Answer, *, quiet: bool = False) -> list[Saved]:
    path = world.home.dump
    for candidate in (path, f"{path}.bak"):
        try:
            with open(candidate, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            answer.error(f"Failed to read dump file in {candidate}: {error.strerror}")
            continue
        if not quiet:
            answer.say(f"Restoring processes located in {candidate}")
        try:
            return msgspec.json.decode(content, type=list[Saved])
        except (ValueError, RecursionError) as error:
            aside = f"{candidate}.damaged-{int(world.clock.now())}"
            os.replace(candidate, aside)
            log.error("%s cannot be read (%s); kept as %s", candidate, error, aside)
            answer.error(f"Failed to parse dump file in {candidate} (kept as {aside})")
    if not quiet and not world.supervisor.entries:
        answer.error("No processes saved; DUMP file doesn't exist")
        answer.code = 0  # PM2 exits 0 here, and boot scripts rely on it
    return []
