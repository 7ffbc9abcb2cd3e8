"""Evaluation by node, where the embedded engine cannot. One process, no shell, a time limit, JSON on a stream of its own."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from rota.ecosystem.javascript.engine import Evaluated, Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

TIME_LIMIT = 10.0

# Standard output belongs to the result: what the file prints goes to stderr. import() takes CommonJS and ES modules alike.
_PROGRAM = """
const { writeSync } = require('fs');
const { pathToFileURL } = require('url');
for (const name of ['log', 'info', 'debug', 'dir', 'table']) console[name] = console.error;
process.stdout.write = (...args) => process.stderr.write(...args);
(async () => {
  const loaded = await import(pathToFileURL(process.argv[1]).href);
  let value = loaded.default === undefined ? { ...loaded } : loaded.default;
  if (value && value.__esModule && value.default !== undefined) value = value.default;
  if (typeof value === 'function') value = value();
  const text = Buffer.from(JSON.stringify(await value, (k, v) => typeof v === 'bigint' ? String(v) : v));
  for (let sent = 0; sent < text.length;) sent += writeSync(1, text, sent);
  process.exit(0);
})().catch((error) => {
  console.error(String((error && error.stack) || error));
  process.exit(1);
});
"""


def evaluate(node: str, path: str, *, cwd: str, environ: Mapping[str, str]) -> Evaluated:
    """The value of a configuration file, as node sees it.

    Args:
        node: path of the program.
        path: absolute path of the file.
        cwd: where it runs.
        environ: with what environment.

    Raises:
        Failed: with node's own words.
    """
    try:
        done = subprocess.run(
            [node, "--no-warnings", "-e", _PROGRAM, path],
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"node did not finish it within {TIME_LIMIT:g} s", final=True) from None
    except OSError as error:
        raise Failed(f"node cannot be started: {error.strerror}", final=True) from None
    said = tuple(done.stderr.decode(errors="replace").splitlines())
    if done.returncode != 0:
        raise Failed(_reason(said), final=True)
    try:
        return Evaluated(json.loads(done.stdout), said)
    except ValueError:
        raise Failed("it exports nothing that can be written as JSON", final=True) from None


def _reason(said: tuple[str, ...]) -> str:
    """Node's message without its stack."""
    lines = [line for line in said if line.strip() and not line.lstrip().startswith(("at ", "Node.js"))]
    named = [line for line in lines if "Error" in line.split(":", 1)[0]]
    return (named or lines or ("node failed without a word",))[0].strip()
