"""Loaded by Python itself in the processes of a rota cluster: listening sockets come from rota instead of from the kernel.

Runs in somebody else's interpreter, so: parseable by every Python 3 (and silent under 2), nothing imported that costs time, no
thread, nothing changed for processes that this one starts, no trace when rota is not there. The words are described in
rota/daemon/cluster/python_child.py.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _restore():
    """Take our traces out of the environment. Returns the number of the control descriptor, -1 when there is none."""
    former = os.environ.pop("ROTA_FORMER_PYTHONPATH", None)
    fd = os.environ.pop("ROTA_CONTROL_FD", "")
    if former:
        os.environ["PYTHONPATH"] = former
    else:
        os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]
    return int(fd) if fd.isdigit() else -1


def _chain():
    """Load the sitecustomize that would have been loaded without us; where there is none, ours keeps the name."""
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        if ours is not None:
            sys.modules["sitecustomize"] = ours


def _start():
    fd = _restore()
    if fd < 0 or sys.version_info < (3, 6):
        return
    sys.path.insert(0, _HERE)
    try:
        import _rota_bootstrap
    finally:
        sys.path.remove(_HERE)
    try:
        _rota_bootstrap.Bootstrap(fd).start()
    except (OSError, ImportError):
        pass  # no control socket there: sudo, or a wrapper, closed it


_start()
_chain()
