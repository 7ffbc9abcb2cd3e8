"""`python -E -P -m rota.daemon HOME`: the daemon. Started by the keeper."""

import gc
import sys

from rota.deferred import deferring

gc.disable()  # nothing that is made while a program loads is garbage
with deferring():
    from rota.daemon.main import main

if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main(sys.argv[1:]))
