"""Points in time as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from rota.cli.instants import seconds_since_epoch
from rota.errors import UsageError

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("90s", NOW - 90),
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("1.5h", NOW - 5400),
        ("2d", NOW - 172_800),
        ("1w", NOW - 604_800),
        ("1799999000", 1_799_999_000.0),
        ("2026-03-01T08:00:00Z", datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()),
        ("2026-03-01T08:00+01:00", datetime(2026, 3, 1, 7, tzinfo=UTC).timestamp()),
        ("2026-07-01", datetime(2026, 6, 30, 22, tzinfo=UTC).timestamp()),
    ],
)
def test_instants(text: str, expected: float) -> None:
    assert seconds_since_epoch(text, NOW, ZoneInfo("Europe/Berlin")) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "10", "10x", "m", "2026-13-01"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        seconds_since_epoch(text, NOW)
