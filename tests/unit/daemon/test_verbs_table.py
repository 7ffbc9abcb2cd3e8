"""Every request has someone who answers it."""

from __future__ import annotations

from typing import get_args

import pytest

from rota.daemon.verbs.table import HANDLERS, handler_of
from rota.wire.messages import AnyRequest


def test_every_request_has_a_handler() -> None:
    assert set(HANDLERS) == set(get_args(AnyRequest))


@pytest.mark.parametrize("kind", HANDLERS, ids=lambda kind: kind.__name__)
def test_every_handler_is_there(kind: type) -> None:
    assert callable(handler_of(kind))


def test_nobody_answers_what_is_no_request() -> None:
    assert handler_of(str) is None
