"""Compare text with a file under tests/golden/render; `ROTA_GOLDEN=write` writes it instead."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "golden" / "render"


def same_as(name: str, text: str) -> None:
    """Fail unless `text` is the content of the golden file `name`."""
    path = FOLDER / name
    if os.environ.get("ROTA_GOLDEN") == "write":
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")
