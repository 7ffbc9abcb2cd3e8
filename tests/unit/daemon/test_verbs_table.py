"""Every request has someone who answers it."""

from __future__ import annotations

from typing import get_args

from rota.daemon.verbs.table import HANDLERS
from rota.wire.messages import AnyRequest


def test_every_request_has_a_handler() -> None:
    assert set(HANDLERS) == set(get_args(AnyRequest))
