"""The words between keeper and daemon. An old keeper must understand a new daemon: words are added, never changed.

One SEQPACKET socketpair, one ASCII message a packet, descriptors beside it (SCM_RIGHTS).

daemon -> keeper
    PUT key        keep these descriptors under this key, instead of what it held
    DROP key       close them
    ACK pid start  the exit of this process is in the ledger: forget it
    UP             the daemon serves: should it die, it is started again at once, without backoff
    BYE code       the daemon ends on purpose: end too, with this exit code, and start no other

keeper -> daemon
    FD key         descriptors kept under this key (after a start, one message a key)
    MARK pid start mark    before its EXIT: the process led a session, and this is its soft RLIMIT_RTTIME (daemon/procs/mark.py),
                           which tells whose main process it was when the ledger does not know its pid yet
    EXIT pid start status    a process re-parented to the keeper ended: start time in clock ticks, wait status
    SYNC           everything kept has been told

Unknown words are ignored by both sides. Keys hold no blanks. Listeners and IPC ends travel by the same PUT.
"""

from __future__ import annotations

KEEPER_FD = "ROTA_KEEPER_FD"
"""Environment variable: number of the daemon's end of the socketpair."""
LOCK_FD = "ROTA_LOCK_FD"
"""Environment variable: number of the locked descriptor that says who owns the home."""
STATE_FD = "ROTA_STATE_FD"
"""Environment variable: a memfd with the running daemon's state, across its own re-execution (`rota update`)."""

MAX_FDS = 16
"""Descriptors in one message, at most."""
PACKET = 512
"""Longest message, bytes."""

PERMANENT = 100
"""Exit code of a daemon that cannot start and will not be able to by trying again."""
