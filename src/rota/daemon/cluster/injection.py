"""The environment that makes an interpreter load our file (rota/inject) before the app."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import rota.inject
from rota.daemon.cluster.python_child import CONTROL_FD, FORMER_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.process.state import Instance

INJECT = os.path.dirname(rota.inject.__file__)
NO_INJECT = "ROTA_NO_INJECT"
"""Set to anything in an app's environment, it keeps our files out of its processes."""


def python_environ(environ: Mapping[str, str], control: int) -> dict[str, str]:
    """For Python, with the number of its end of the control socket."""
    former = environ.get("PYTHONPATH", "")
    path = os.path.join(INJECT, "python") + (os.pathsep + former if former else "")
    return {**environ, FORMER_PATH: former, CONTROL_FD: str(control), "PYTHONPATH": path}


def node_environ(environ: Mapping[str, str], instance: Instance) -> dict[str, str]:
    """For Node, which becomes a worker of a cluster."""
    former = environ.get("NODE_OPTIONS", "")
    preload = os.path.join(INJECT, "preload.cjs")
    return {
        **environ,
        "ROTA_FORMER_NODE_OPTIONS": former,
        "NODE_OPTIONS": f'--require "{preload}" {former}'.strip(),
        "NODE_UNIQUE_ID": str(instance.gen * 1000 + instance.number + 1),
    }
