"""`python -m rota` is the `rota` program."""

import sys

from rota.cli.fast import main

if __name__ == "__main__":
    sys.exit(main())
