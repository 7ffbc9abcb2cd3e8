"""Where a run runs: on an event loop, in a thread, in a process of its own."""
