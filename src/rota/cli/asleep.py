"""What a start would bring back, where no daemon runs to be asked: from the files it left. Starting one would be no dry run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rota.render.fate import Known, fates, fates_text

if TYPE_CHECKING:
    from rota.home import Home


def foretold(home: Home) -> str:
    """As the daemon says it, from the second copy of its ledger and from the dump; what cannot be read is left to the daemon,
    which says so when it starts. Whether a daemon could live in that home at all is `Home.ensure`'s to find out."""
    rows = _read(home.path + "/state.json", {}).get("rows", [])
    known = [
        Known(spec["name"], row.get("number", 0), row.get("desired") == "up", bool(spec.get("job")))
        for row, spec in rows
        if row.get("stands_for") is None
    ]
    saved = {app["name"]: app["running"] for app in _read(home.dump, [])}
    return fates_text(fates(known, saved))


def _read(path: str, nothing: Any) -> Any:
    try:
        with open(path, "rb") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return nothing
    return found if isinstance(found, type(nothing)) else nothing
