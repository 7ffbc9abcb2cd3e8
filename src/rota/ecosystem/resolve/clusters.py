"""Settings of a cluster that contradict each other, or mean nothing for this app: said when the file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.ecosystem.problems import Wrong
from rota.process.spec import in_cluster

if TYPE_CHECKING:
    from rota.ecosystem.problems import Findings
    from rota.process.spec import AppSpec


def check_cluster(spec: AppSpec, key: str, findings: Findings) -> None:
    """Warn of settings without a meaning here.

    Raises:
        Wrong: two of them cannot both hold.
    """
    if spec.min_instances and not spec.max_instances:
        raise Wrong(
            "min_instances means nothing without max_instances", "give both: the number follows the load between"
        )
    if spec.max_instances and spec.min_instances > spec.max_instances:
        raise Wrong(f"min_instances ({spec.min_instances}) is more than max_instances ({spec.max_instances})")
    if spec.affinity and spec.balance == "shared":
        raise Wrong('affinity = "ip" needs a socket for each instance', 'balance = "slot" or "rr"')
    if spec.balance == "rr" and spec.listen:
        raise Wrong('balance = "rr" hands connections over by Node\'s protocol, not by LISTEN_FDS', "leave listen out")
    meant = {"affinity": spec.affinity, "balance": spec.balance != "auto", "max_instances": spec.max_instances}
    idle = [name for name, given in meant.items() if given]
    if idle and not in_cluster(spec):
        verb = "has" if len(idle) == 1 else "have"
        where = f"{key}: " if key else ""
        findings.warn(f'{where}{", ".join(idle)} {verb} no effect without exec_mode = "cluster", or listen')
