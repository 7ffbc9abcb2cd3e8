"""docs/scheduler.md: every Python block runs as it stands, and does what the text says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.schedule.job import JobOptions
from tests.process.conftest import CHILDREN

if TYPE_CHECKING:
    from tests.process.conftest import Spawn

PAGE = (Path(__file__).parents[2] / "docs" / "scheduler.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def title(block: str) -> str:
    """The heading a block stands under."""
    return re.findall(r"^##? (.*)$", PAGE[: PAGE.index(block)], re.MULTILINE)[-1]


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_the_examples_run(spawn: Spawn, tmp_path: Path, block: str) -> None:
    (tmp_path / "poller.py").write_text(BLOCKS[0])
    (tmp_path / "block.py").write_text(block)
    process = spawn(
        sys.executable,
        str(CHILDREN / "document_block.py"),
        str(tmp_path / "block.py"),
        cwd=tmp_path,
        env={**os.environ, "ROTA_STORE": f"sqlite:///{tmp_path}/rota.db"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    tried = out.decode().splitlines()[-1].split()
    if "@rota" in block:
        assert "jobs" in tried
    if "app = " in block or "AppConfig" in block:
        assert "app" in tried
    assert len([each for each in tried if each.startswith("test_")]) == block.count("def test_")


def test_every_option_has_its_row() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.split("At run time")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(JobOptions.__annotations__)
