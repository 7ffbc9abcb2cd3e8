"""`python -I -m rota.daemon HOME`: the daemon. Started by the keeper."""

import sys

# asyncio imports ssl if it can: 5 MB and 15 ms for something a unix socket never needs. None makes the import fail.
sys.modules["ssl"] = None  # type: ignore[assignment]

from rota.daemon.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
