"""Doors for browsers and probes; each runs as a process of its own, never inside the daemon."""
