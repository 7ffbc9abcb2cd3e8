"""When: schedules, limits and leases as plain arithmetic. Pure: time and randomness are passed in."""
