"""What is wrong with a file: collected, so that one reading shows a person everything there is to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rota.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wrong(ValueError):
    """A value is not what its key takes. Says what is wrong; whoever knows the key adds it.

    Args:
        message: a clause that follows the key, as `must be a number, not the text "abc"`.
        hint: what to write instead.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Problem(NamedTuple):
    """One thing to mend: where (key path), what, and how."""

    key: str
    message: str
    hint: str = ""

    def line(self) -> str:
        where = f"{self.key}: " if self.key else ""
        how = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{how}"


class InvalidEcosystem(SpecError):
    """A file that cannot be used, with everything that is wrong with it in `problems`."""

    def __init__(self, problems: Iterable[Problem], *, file: str = "") -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        if len(self.problems) == 1:
            super().__init__(first.message, first.hint, file=file, key=first.key)
            return
        lines = "".join(f"\n  {problem.line()}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} problems:{lines}", file=file)


class Findings:
    """Problems and warnings met while reading one file."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def problem(self, key: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(key, message, hint))

    def wrong(self, key: str, error: Wrong) -> None:
        self.problems.append(Problem(key, error.message, error.hint))

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def check(self, file: str = "") -> None:
        """Raises InvalidEcosystem if there is a problem."""
        if self.problems:
            raise InvalidEcosystem(self.problems, file=file)
