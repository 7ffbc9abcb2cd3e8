"""The restart policy: after an exit nobody asked for, again after a delay, stay down, or give up with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from rota.process.spec import PM2_MAX_RESTARTS
from rota.timing.backoff import PM2_CAP_MS, pm2_next

if TYPE_CHECKING:
    from rota.process.spec import AppSpec, RestartSpec
    from rota.process.state import Exit


class Again(msgspec.Struct, frozen=True):
    """Start again after `delay` seconds (0 = at once)."""

    delay: float


class Stay(msgspec.Struct, frozen=True):
    """Do not start again; that is as it should be."""

    reason: str


class GiveUp(msgspec.Struct, frozen=True):
    """Do not start again; someone has to look."""

    reason: str


Verdict: TypeAlias = Again | Stay | GiveUp


def exit_text(exit: Exit | None) -> str:
    """`exit code 3`, `signal SIGKILL`, or `exit code unknown`."""
    if exit is None or not exit.known:
        return "exit code unknown"
    if exit.signal is not None:
        name = signal_name(exit.signal)
        return f"signal {name}" if name.startswith("SIG") else name
    return f"exit code {exit.code}"


# Linux numbers; the ones that differ elsewhere are not the ones apps die of.
_SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1"} | {
    11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 31: "SYS"
}  # fmt: skip


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; `signal 40` for numbers without a name."""
    return f"SIG{_SIGNALS[number]}" if number in _SIGNALS else f"signal {number}"


def next_delay(policy: RestartSpec, previous: float, lasted: float) -> float:
    """The delay before the next start, seconds."""
    if policy.exp_backoff <= 0:
        return policy.restart_delay
    if previous <= 0 or lasted >= policy.backoff_reset:
        return policy.exp_backoff
    return pm2_next(round(previous * 1000)) / 1000


def limit(policy: RestartSpec) -> int | None:
    """After how many unstable runs in a row the app is given up; None: never."""
    longest = PM2_CAP_MS / 1000 if policy.exp_backoff > 0 else policy.restart_delay
    if policy.max_restarts is None and max(longest, policy.exp_backoff) >= policy.min_uptime > 0:
        return None
    return PM2_MAX_RESTARTS if policy.max_restarts is None else policy.max_restarts


def is_hopeless(policy: RestartSpec, unstable: int, delay: float) -> bool:
    """Whether so many unstable runs in a row are enough, when the next one would come after `delay`."""
    if policy.max_restarts is not None:
        return unstable >= policy.max_restarts
    return unstable >= PM2_MAX_RESTARTS and delay < policy.min_uptime


def decide(spec: AppSpec, exit: Exit | None, unstable: int, previous_delay: float, lasted: float) -> Verdict:
    """What to do after `exit`, when this is the `unstable`-th consecutive run shorter than min_uptime."""
    policy = spec.restart
    if spec.job is not None or not policy.autorestart:
        return Stay(exit_text(exit))
    if exit is not None and exit.code is not None and exit.code in policy.stop_exit_codes:
        return Stay(f"{exit_text(exit)} is one of stop_exit_codes")
    delay = next_delay(policy, previous_delay, lasted)
    if is_hopeless(policy, unstable, delay):
        if policy.max_restarts == 0:
            return GiveUp(f"max_restarts is 0: not started again after {exit_text(exit)}")
        runs = "run" if unstable == 1 else "runs"
        return GiveUp(
            f"{unstable} {runs} in a row ended within {policy.min_uptime:g} s; the last one with {exit_text(exit)}"
        )
    return Again(delay)
