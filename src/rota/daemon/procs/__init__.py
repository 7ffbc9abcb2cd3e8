"""Processes as the kernel shows them: who they are, whose child, what they use, how one is started and all are ended."""
