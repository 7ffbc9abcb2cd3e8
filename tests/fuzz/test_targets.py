"""The targets of the coverage-guided search, tried by chance: on bytes, and on good input with something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.effort import effort
from tests.fuzz.targets import SEEDS, TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", TARGETS)
@effort(60)
@given(data=st.data())
def test_bytes_that_others_wrote(name: str, data: st.DataObject) -> None:
    target: Callable[[bytes], None] = TARGETS[name]
    seed = data.draw(st.sampled_from([b"", *SEEDS.get(name, [])]))
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, len(seed)))
    target(seed[:start] + data.draw(st.binary(max_size=30)) + seed[end:])
