"""How long to look: a few seconds in CI, as long as one likes with ROTA_FUZZ=long (docs/contributing.md)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LONG = os.environ.get("ROTA_FUZZ") == "long"
FACTOR = 200 if LONG else 1


def effort(examples: int) -> settings:
    """That many examples in CI, 200 times as many in a long run; examples may take their time."""
    return settings(
        max_examples=examples * FACTOR,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )
