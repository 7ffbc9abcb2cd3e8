"""The scheduler that lives inside a Python app: jobs, budgets, heartbeats, checkpoints, health. Standard library only."""
