"""One run of one job: what is due, what overlaps, what is tried again, how it ended. Pure."""
