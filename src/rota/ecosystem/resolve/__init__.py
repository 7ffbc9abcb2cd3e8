"""From settings to AppSpecs: what depends on this machine. Programs, interpreters, directories, users, `.env` files."""
