"""Several copies of an unmodified app on one port: listeners that rota owns, workers that share them, reloads without loss."""
