"""Jobs at work: due times, runs, budgets, and what schedulers inside apps report."""
