"""Talking to the daemon from another process."""
