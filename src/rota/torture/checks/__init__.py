"""What is tried, one promise a function."""

from rota.torture.checks import (
    clients,
    clocks,
    crashloop,
    damage,
    disk,
    exits,
    flood,
    garbage,
    jobs,
    kills,
    race,
    stale,
    trees,
)  # fmt: skip
from rota.torture.finding import Check

CHECKS = (
    Check("daemon-killed", "a killed daemon costs no app and no line", kills.daemon),
    Check("keeper-killed", "a killed keeper costs no app and no line", kills.keeper),
    Check("both-killed", "daemon and keeper killed together cost no app and no line", kills.both),
    Check("update", "an update under load costs no app and no line", kills.update),
    Check("exit-unseen", "how a child ended while the daemon was down is known", exits.unseen),
    Check("stubborn", "what ignores every signal is stopped all the same", trees.stubborn),
    Check("grandchildren", "what forked away twice is stopped, too", trees.family),
    Check("log-flood", "rotation under a flood loses no line", flood.flood),
    Check("disk-full", "a full disk stops no app and no command", disk.full),
    Check("jobs-once", "each due time runs once, whoever dies", jobs.once),
    Check("clock-stepped", "a clock put forward or back loses no due time", clocks.stepped),
    Check("clock-changes", "a daily job runs once a day, summer and winter", clocks.changes),
    Check("damaged-ledger", "a damaged ledger costs no app", damage.damaged),
    Check("stale-files", "dead sockets and wrong pid files mislead nobody", stale.leftovers),
    Check("crash-loops", "a thousand crashing processes are counted and given up", crashloop.crashloop),
    Check("race", "two daemons never own one home", race.race),
    Check("garbage", "nonsense on the socket hurts nobody", garbage.garbage),
    Check("clients", "two hundred commands at once are all answered", clients.clients),
)
"""All of them, in the order in which they are tried."""
