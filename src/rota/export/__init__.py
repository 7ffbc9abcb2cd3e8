"""Pure renderers: what rota knows, as files for other systems."""
