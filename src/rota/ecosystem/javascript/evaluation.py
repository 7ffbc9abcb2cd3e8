"""Which engine evaluates a file: the embedded one, and node where that cannot and node is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from rota.ecosystem.javascript.engine import Evaluated, Failed
from rota.ecosystem.javascript.engine import evaluate as by_engine
from rota.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.ecosystem.problems import Findings

Engine = Literal["auto", "embedded", "node"]


def evaluate(
    path: str,
    source: str,
    *,
    cwd: str,
    environ: Mapping[str, str],
    findings: Findings,
    shown: str,
    engine: Engine = "auto",
) -> Any:
    """The value of `ecosystem.config.js`. What it prints goes to stderr, as with node.

    Args:
        path: absolute path.
        source: the file's text.
        cwd: the caller's directory.
        environ: the caller's environment.
        findings: gets a warning when node had to be asked.
        shown: the file's name for errors.
        engine: "embedded" never runs node, which runs a file without any limits on what it may do.

    Raises:
        SpecError: the file fails.
    """
    if engine == "node":
        return _by_node(path, cwd, environ, shown, "").value
    try:
        result = by_engine(path, source, cwd=cwd, environ=environ)
    except Failed as failure:
        if failure.final or engine == "embedded":
            raise SpecError(f"cannot be evaluated: {failure.message}", file=shown) from None
        result = _by_node(path, cwd, environ, shown, failure.message)
        findings.warn(f"{shown} was evaluated by node: {failure.message}")
    _print(result)
    return result.value


def _by_node(path: str, cwd: str, environ: Mapping[str, str], shown: str, reason: str) -> Evaluated:
    from rota.ecosystem.javascript import node
    from rota.ecosystem.resolve.python import which

    program = which("node", environ)
    if program is None:
        asked = reason or "node is not on PATH"
        hint = "node would evaluate it, but is not on PATH" if reason else "install node, or leave the engine out"
        raise SpecError(f"cannot be evaluated: {asked}", hint, file=shown)
    try:
        return node.evaluate(program, path, cwd=cwd, environ=environ)
    except Failed as failure:
        # An error of the file's own is the same in both, and the engine tells its line.
        said = reason if "(line " in reason else failure.message
        raise SpecError(f"cannot be evaluated: {said}", file=shown) from None


def _print(result: Evaluated) -> None:
    import sys

    for line in result.output:
        print(line, file=sys.stderr)
