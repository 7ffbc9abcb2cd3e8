"""A real keeper and daemon, as the daemon's own tests have."""

from __future__ import annotations

from tests.daemon.conftest import asleep, home, host, work

__all__ = ["asleep", "home", "host", "work"]
