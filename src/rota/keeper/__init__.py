"""The keeper: parent of the daemon, holder of what must survive it."""
