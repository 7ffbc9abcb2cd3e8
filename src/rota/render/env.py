"""`rota env`: the environment of a process, and how it would differ after a restart. Values are shown: they were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.text import GREEN, PLAIN, RED, YELLOW, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.render.text import Style


def env_text(env: Mapping[str, str]) -> str:
    """`KEY: value`, one per line, in the order given; a newline inside a value is shown as `\\n`."""
    return "\n".join(f"{printable(key)}: {printable(value)}" for key, value in env.items())


def env_diff(live: Mapping[str, str], following: Mapping[str, str], style: Style = PLAIN) -> str:
    """What a restart would change: `+` appears, `-` goes, `~` gets another value. Sorted by key.

    Args:
        live: what the running process has.
        following: what the next start would give it.
        style: colour or none.
    """
    lines = []
    for key in sorted(live.keys() | following.keys()):
        old, new = live.get(key), following.get(key)
        if old == new:
            continue
        if old is None:
            lines.append(style(f"+ {printable(key)}: {printable(new or '')}", GREEN))
        elif new is None:
            lines.append(style(f"- {printable(key)}: {printable(old)}", RED))
        else:
            lines.append(style(f"~ {printable(key)}: {printable(old)} → {printable(new)}", YELLOW))
    return "\n".join(lines) if lines else "A restart would not change the environment."
