"""Budgets: rate limits shared by threads, tasks and processes."""
