from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.ecosystem.project import PROGRAMS, Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a PATH that holds the usual interpreters, and `python`."""
    made = Project(tmp_path)
    made.program("python", *PROGRAMS)
    return made
