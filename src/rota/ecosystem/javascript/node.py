"""Evaluation by node, where the embedded engine cannot. No shell, limits of time and memory, JSON on a stream of its own.

The file may do there what its user may do, as it may under PM2: it can read other files and run programs. But it ends, it
leaves nobody behind, and it cannot take the machine's memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
from typing import TYPE_CHECKING

from rota.ecosystem.javascript.engine import Evaluated, Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

TIME_LIMIT = 10.0
MEMORY_LIMIT = 1 << 30
"""Bytes that node, and each program it starts, may write to. Linux only; elsewhere V8's own limit holds."""

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
        process = subprocess.Popen(
            [node, "--no-warnings", f"--max-old-space-size={MEMORY_LIMIT >> 21}", "-e", _PROGRAM, path],
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Failed(f"node cannot be started: {error.strerror}", final=True) from None
    with process:
        try:
            _limit(process.pid)
            value, output = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise Failed(f"node did not finish it within {TIME_LIMIT:g} s", final=True) from None
        finally:
            _end(process)
    said = tuple(output.decode(errors="replace").splitlines())
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise Failed(f"node was ended by {name} (it may have {MEMORY_LIMIT >> 20} MB of memory)", final=True)
    if process.returncode != 0:
        raise Failed(_reason(said), final=True)
    try:
        return Evaluated(json.loads(value), said)
    except ValueError:
        raise Failed("it exports nothing that can be written as JSON", final=True) from None


def _limit(pid: int) -> None:
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
            least = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
            resource.prlimit(pid, resource.RLIMIT_DATA, (least, least))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Node, and what the file started: that would hold the streams open, and us with them."""
    if process.returncode is None:  # its number is still its own
        os.killpg(process.pid, signal.SIGKILL)


def _reason(said: tuple[str, ...]) -> str:
    """Node's message without its stack."""
    lines = [line for line in said if line.strip() and not line.lstrip().startswith(("at ", "Node.js"))]
    named = [line for line in lines if "Error" in line.split(":", 1)[0]]
    return (named or lines or ("node failed without a word",))[0].strip()
