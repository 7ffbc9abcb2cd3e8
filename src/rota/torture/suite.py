"""One check after the other, each in a scratch home of its own; afterwards nothing is left of any of them."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rota.errors import RotaError
from rota.torture.finding import Broken, Finding, Unable
from rota.torture.scene import Scene
from rota.torture.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rota.torture.finding import Check

Verdict = Literal["kept", "BROKEN", "not tried"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check."""

    name: str
    promise: str
    verdict: Verdict
    did: str
    lost: str
    note: str
    seconds: float
    times: int = 0
    log: str = ""
    """Where the daemon's own log of a broken promise is kept."""


def run(
    checks: Sequence[Check], *, seed: int, pace: float, report: Callable[[str, str], None], keep_logs: str = ""
) -> Iterator[Outcome]:
    """Try them. Each draws its own chance from the seed, so that one alone repeats what it did among the others.

    Args:
        checks: what to try.
        seed: of all that is random.
        pace: factor on how often things are done.
        report: told the check's name and how far it is.
        keep_logs: directory for the daemon's own log of a broken promise; "" = nowhere.
    """
    for check in checks:
        report(check.name, "begins")
        yield _attempt(check, random.Random(f"{seed} {check.name}"), pace, report, keep_logs)  # noqa: S311 - no secret


def _attempt(
    check: Check, rng: random.Random, pace: float, report: Callable[[str, str], None], keep_logs: str
) -> Outcome:
    began = time.monotonic()
    scratch = Scratch()
    paths = (scratch.root, scratch.runtime)
    kept = ""
    try:
        found = _find(check, Scene(scratch, rng, pace, lambda text: report(check.name, text)))
        if isinstance(found, Broken) and keep_logs:
            kept = os.path.join(keep_logs, f"{check.name}.log")
            scratch.keep_log(kept)
    finally:
        scratch.destroy()
    left = [path for path in paths if os.path.lexists(path)]
    if left and not isinstance(found, Broken):
        found = Broken(f"left behind: {', '.join(left)}")
    return _outcome(check, found, time.monotonic() - began, kept)


def _find(check: Check, scene: Scene) -> Finding | Broken | Unable:
    try:
        scene.scratch.wake()
        found = check.attempt(scene)
        scene.scratch.end()
    except (Broken, Unable) as error:
        return error
    except RotaError as error:
        return Broken(f"rota refused: {error}")
    except Exception as error:
        return Broken(f"unforeseen {type(error).__name__}: {error}")
    return found


def _outcome(check: Check, found: Finding | Broken | Unable, seconds: float, kept: str) -> Outcome:
    match found:
        case Finding():
            return Outcome(check.name, check.promise, "kept", found.did, found.lost, found.note, seconds, found.times)
        case Broken():
            return Outcome(check.name, check.promise, "BROKEN", found.did, found.what, "", seconds, log=kept)
        case Unable():
            return Outcome(check.name, check.promise, "not tried", "", "", str(found), seconds)
