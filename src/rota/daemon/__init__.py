"""The daemon: one owner of every state; spawns, watches, drains, records, answers."""
