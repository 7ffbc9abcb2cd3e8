"""The host's own figures under the list."""

from __future__ import annotations

import msgspec

from rota.render.human import percent

_MB = 1 << 20


class Traffic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One network interface, bytes per second."""

    name: str
    received: float = 0.0
    sent: float = 0.0


class HostMetrics(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures of the last sample; what was not measured is None and not shown."""

    cpu: float | None = None
    """Percent of all cores together."""
    memory: float | None = None
    """Percent of the memory that is in use."""
    interfaces: tuple[Traffic, ...] = ()
    disk_read: float | None = None
    """Bytes per second."""
    disk_written: float | None = None


def host_line(host: HostMetrics, width: int = 300, *, disk: bool = True) -> str:
    """`host metrics | cpu: 78.1% | ram usage: 3% | eth0: ⇓ 7.667mb/s ⇑ 0.011mb/s | disk: …`, as far as it fits.

    "" when nothing is known.
    """
    parts = []
    if host.cpu is not None:
        parts.append(f"cpu: {percent(host.cpu)}")
    if host.memory is not None:
        parts.append(f"ram usage: {percent(host.memory)}")
    parts += [f"{one.name}: {_rates(one.received, one.sent)}" for one in host.interfaces if one.received or one.sent]
    if disk and host.disk_read is not None and host.disk_written is not None:
        parts.append(f"disk: {_rates(host.disk_read, host.disk_written)}")
    while parts:
        line = " | ".join(["host metrics", *parts])
        if len(line) <= width:
            return line
        parts.pop()
    return ""


def _rates(down: float, up: float) -> str:
    return f"⇓ {down / _MB:.3f}mb/s ⇑ {up / _MB:.3f}mb/s"
