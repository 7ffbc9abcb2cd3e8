"""A directory with programs and a PATH of its own, so that what is found there does not depend on the machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rota.ecosystem.load import Loaded, load_file, spec_from_script
from rota.ecosystem.options import CliOptions

if TYPE_CHECKING:
    from pathlib import Path

    from rota.process.spec import AppSpec

PROGRAMS = ("bash", "node", "bun", "ruby", "php", "perl", "coffee", "lsc")


class Project:
    """`root` is where files are written and commands are typed; `bin` is all of PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "work"
        self.bin = folder / "bin"
        self.home = folder / "home"
        for path in (self.root, self.bin, self.home):
            path.mkdir()
        # A repository's root: the search for environments ends here.
        (self.root / ".git").mkdir()
        self.environ = {"PATH": str(self.bin), "HOME": str(self.home)}

    def program(self, *names: str) -> None:
        for name in names:
            path = self.bin / name
            path.write_bytes(b"\x7fELF\0")
            path.chmod(0o755)

    def real_python(self) -> None:
        (self.bin / "python").symlink_to(sys.executable)

    def write(self, name: str, content: str = "", mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    def environment(self, name: str = ".venv", scripts: tuple[str, ...] = ()) -> Path:
        """A virtual environment, as far as rota looks at one."""
        folder = self.root / name
        (folder / "bin").mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
        for script in ("python", *scripts):
            path = folder / "bin" / script
            path.write_text(f"#!{folder}/bin/python\n")
            path.chmod(0o755)
        return folder

    def load(self, name: str, cwd: Path | None = None, **options: object) -> Loaded:
        given = {"cwd": str(cwd or self.root), "environ": self.environ, **options}
        return load_file(name, **given)  # type: ignore[arg-type]

    def app(self, name: str, **options: object) -> AppSpec:
        """The only app of a file."""
        (spec,) = self.load(name, **options).specs
        return spec

    def script(self, target: str, **options: object) -> AppSpec:
        given = CliOptions(**options)  # type: ignore[arg-type]
        return spec_from_script(target, given, cwd=str(self.root), environ=self.environ)

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)
