"""An address is tried before an app that serves it is started."""

from __future__ import annotations

import socket

import pytest

from rota.cli.free_port import require_free
from rota.errors import RotaError


def test_a_taken_address_is_told_and_a_free_one_is_left_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RotaError, match=rf"127\.0\.0\.1:{port} cannot be served: Address already in use"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
    require_free("127.0.0.1", 0)
