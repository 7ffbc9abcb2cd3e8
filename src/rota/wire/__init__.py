"""What crosses the daemon's socket: typed requests, typed replies, and their framing. Pure."""
