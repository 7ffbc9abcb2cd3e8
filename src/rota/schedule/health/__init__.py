"""Health of jobs, as JSON over ASGI and WSGI."""
