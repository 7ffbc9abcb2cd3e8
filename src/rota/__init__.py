"""rota keeps services running and scheduled work on time."""
