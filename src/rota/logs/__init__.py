"""Log files: from a FIFO's reading end to a rotated file, and from files back to lines. Knows nothing of the supervisor."""
