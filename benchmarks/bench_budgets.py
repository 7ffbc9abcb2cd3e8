"""Budgets beside limits, aiolimiter, pyrate-limiter and throttled-py, in one run.

    python benchmarks/bench_budgets.py [--rounds 3] [--seconds 10] [--peers PYTHON] [--json FILE]

For the peers: `benchmarks/run` installs them, or

    python -m venv /tmp/peers && /tmp/peers/bin/pip install limits aiolimiter pyrate-limiter throttled-py
    python benchmarks/bench_budgets.py --peers /tmp/peers/bin/python

Takes per second of CPU time for one key without contention: granted (a limit too high to reach) and refused (10 per 100 s,
used up). Order: 1,000 tasks, then 100 threads, wait for one limit; pairs that were served in the wrong order. Together:
eight processes take from one SQLite budget for --seconds; tokens beyond the limit in any window.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contenders import alone, heading, in_turn, parser, save, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HUGE, CALLS = 10**9, 200_000
PER_SECOND = {"granted/s": "{:,.0f}", "refused/s": "{:,.0f}"}
ORDER = {"tasks: wrong pairs": "{:,.0f}", "threads: wrong pairs": "{:,.0f}"}
LIMITS = {"granted/s": 1_000_000, "sqlite": 50_000}
SHM = "/dev/shm" if os.path.isdir("/dev/shm") else None


def rate(take: Callable[[], object], calls: int = CALLS) -> float:
    """Calls per second of CPU time, best of three."""
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        for _ in range(calls):
            take()
        best = max(best, calls / (time.process_time() - began))
    return best


def both(make: Callable[[int, float], Callable[[], object]], calls: int = CALLS) -> dict[str, float]:
    """Granted and refused."""
    refusing = make(10, 100.0)
    for _ in range(20):
        with suppress(Exception):
            refusing()
    return {"granted/s": rate(make(HUGE, 1.0), calls), "refused/s": rate(refusing, calls)}


# -- one key, no contention


def rota_window() -> dict[str, float]:
    from rota import Budget

    return both(lambda limit, per: Budget("k", limit=limit, per=per, store="memory://").try_take)


def rota_steady() -> dict[str, float]:
    from rota import Budget

    return both(lambda limit, per: Budget("k", limit=limit, per=per, window=False, store="memory://").try_take)


def rota_sqlite() -> dict[str, float]:
    from rota import Budget

    found = {}
    for name, folder in (("tmpfs", SHM), ("disk", None)):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            url = f"sqlite:///{place}/rota.db"
            figures = both(lambda limit, per: Budget(f"k{limit}", limit=limit, per=per, store=url).try_take, 20_000)  # noqa: B023
            found |= {f"{figure} {name}": value for figure, value in figures.items()}
    return found


def throttled_gcra() -> dict[str, float]:
    from throttled import RateLimiterType, Throttled, per_duration  # type: ignore[import-not-found]

    def make(limit: int, per: float) -> Callable[[], object]:
        from datetime import timedelta

        quota = per_duration(timedelta(seconds=per), limit)
        return Throttled(key="k", using=RateLimiterType.GCRA.value, quota=quota).limit  # type: ignore[no-any-return]

    return both(make, 50_000)


def limits_moving() -> dict[str, float]:
    import limits  # type: ignore[import-not-found]

    def make(limit: int, per: float) -> Callable[[], object]:
        limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
        item = limits.RateLimitItemPerSecond(min(limit, 1000), int(per))
        return lambda: limiter.hit(item, "k")

    return both(make, 50_000)


def limits_fixed() -> dict[str, float]:
    import limits

    def make(limit: int, per: float) -> Callable[[], object]:
        limiter = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
        item = limits.RateLimitItemPerSecond(limit, int(per))
        return lambda: limiter.hit(item, "k")

    return both(make, 50_000)


def pyrate() -> dict[str, float]:
    from pyrate_limiter import InMemoryBucket, Limiter, Rate  # type: ignore[import-not-found]

    def make(limit: int, per: float) -> Callable[[], object]:
        limiter = Limiter(InMemoryBucket([Rate(limit, int(per * 1000))]))
        return lambda: limiter.try_acquire("k", blocking=False)

    return both(make, 50_000)


def pyrate_sqlite() -> dict[str, float]:
    from pyrate_limiter import Limiter, Rate, SQLiteBucket

    with tempfile.TemporaryDirectory(dir=SHM) as place:
        bucket = SQLiteBucket.init_from_file([Rate(HUGE, 1000)], db_path=f"{place}/b.db")
        limiter = Limiter(bucket)
        return {"granted/s tmpfs": rate(lambda: limiter.try_acquire("k", blocking=False), 5_000)}


def aiolimiter() -> dict[str, float]:
    from aiolimiter import AsyncLimiter  # type: ignore[import-not-found]

    async def main() -> float:
        limiter, best = AsyncLimiter(HUGE, 1.0), 0.0
        for _ in range(3):
            began = time.process_time()
            for _ in range(CALLS):
                await limiter.acquire()
            best = max(best, CALLS / (time.process_time() - began))
        return best

    return {"granted/s": asyncio.run(main())}


# -- order


def wrong_pairs(order: list[int]) -> int:
    return sum(1 for i, a in enumerate(order) for b in order[i + 1 :] if a > b)


def tasks_in_order(take: Callable[[], Awaitable[object]], count: int = 1000) -> int:
    order: list[int] = []

    async def one(n: int) -> None:
        await take()
        order.append(n)

    async def main() -> None:
        await asyncio.gather(*(one(n) for n in range(count)))

    asyncio.run(main())
    return wrong_pairs(order)


def threads_in_order(take: Callable[[], object], count: int = 100) -> int:
    order: list[int] = []

    def one(n: int) -> None:
        take()
        order.append(n)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    return wrong_pairs(order)


def order_rota() -> dict[str, float]:
    from rota import Budget

    return {
        "tasks: wrong pairs": tasks_in_order(Budget("a", limit=500, per=1.0, burst=1, store="memory://").take),
        "threads: wrong pairs": threads_in_order(Budget("b", limit=100, per=1.0, burst=1, store="memory://").take),
    }


def order_rota_sqlite() -> dict[str, float]:
    from rota import Budget

    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite:///{place}/rota.db"
        return {
            "tasks: wrong pairs": tasks_in_order(Budget("a", limit=500, per=1.0, burst=1, store=url).take),
            "threads: wrong pairs": threads_in_order(Budget("b", limit=100, per=1.0, burst=1, store=url).take),
        }


def order_aiolimiter() -> dict[str, float]:
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(1, 1 / 500)
    return {"tasks: wrong pairs": tasks_in_order(limiter.acquire)}


def order_pyrate() -> dict[str, float]:
    from pyrate_limiter import InMemoryBucket, Limiter, Rate

    limiter, other = (Limiter(InMemoryBucket([Rate(1, milliseconds)])) for milliseconds in (2, 10))
    return {
        "tasks: wrong pairs": tasks_in_order(lambda: limiter.try_acquire_async("k")),
        "threads: wrong pairs": threads_in_order(lambda: other.try_acquire("k")),
    }


def order_throttled() -> dict[str, float]:
    import throttled
    import throttled.asyncio as throttled_asyncio  # type: ignore[import-not-found]

    gcra = throttled.RateLimiterType.GCRA.value
    slow = throttled_asyncio.Throttled(key="a", using=gcra, quota=throttled.per_sec(500, burst=1), timeout=60)
    other = throttled.Throttled(key="b", using=gcra, quota=throttled.per_sec(100, burst=1), timeout=60)
    return {"tasks: wrong pairs": tasks_in_order(slow.limit), "threads: wrong pairs": threads_in_order(other.limit)}


# -- eight processes


def taker(url: str, seconds: float, log: str) -> None:
    from rota import Budget

    class Clock:
        monotonic = staticmethod(time.monotonic)
        last = 0.0

        def now(self) -> float:
            self.last = time.time()
            return self.last

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    clock = Clock()
    budget = Budget("shared", limit=100, per="1s", store=url, clock=clock)
    end, grants = time.monotonic() + seconds, []
    while time.monotonic() < end:
        budget.take()
        grants.append(clock.last)
    with open(log, "w") as file:
        file.write("\n".join(f"{at:.7f}" for at in grants))


def together(seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        url, logs = f"sqlite:///{place}/rota.db", [f"{place}/{n}" for n in range(8)]
        context = multiprocessing.get_context("spawn")
        takers = [context.Process(target=taker, args=(url, seconds, log)) for log in logs]
        for each in takers:
            each.start()
        for each in takers:
            each.join()
        grants = sorted(float(line) for log in logs for line in Path(log).read_text().split())
    start, worst = 0, 0
    for i, at in enumerate(grants):
        while grants[start] <= at - 1.0 + 2e-6:
            start += 1
        worst = max(worst, i - start + 1)
    span = grants[-1] - grants[0]
    return {"granted": len(grants), "seconds": span, "most in any second": worst, "limit": 100}


SPEED: dict[str, Callable[[], dict[str, float]]] = {
    "rota": rota_window,
    "rota, window=False (GCRA)": rota_steady,
    "aiolimiter": aiolimiter,
    "throttled-py GCRA": throttled_gcra,
    "limits fixed window": limits_fixed,
    "limits moving window": limits_moving,
    "pyrate-limiter": pyrate,
}
SQLITE = {"rota, SQLite": rota_sqlite, "pyrate-limiter, SQLite": pyrate_sqlite}
IN_ORDER = {
    "rota": order_rota,
    "rota, SQLite": order_rota_sqlite,
    "aiolimiter": order_aiolimiter,
    "pyrate-limiter": order_pyrate,
    "throttled-py GCRA": order_throttled,
}
GROUPS: dict[str, dict[str, Callable[[], dict[str, float]]]] = {"speed": SPEED, "sqlite": SQLITE, "order": IN_ORDER}


def main() -> int:
    options_of = parser(__doc__.splitlines()[0] if __doc__ else "")
    options_of.add_argument("--seconds", type=float, default=10.0)
    options_of.add_argument("--group", choices=GROUPS)
    options = options_of.parse_args()
    if options.contender:
        return alone(GROUPS[options.group][options.contender])
    print(heading(options.peers, ("limits", "aiolimiter", "pyrate-limiter", "throttled-py")), end="\n\n")
    found: dict[str, Any] = {}
    for group, members in GROUPS.items():
        names = {name: name.startswith("rota") for name in members}
        rounds = 1 if group == "order" else options.rounds
        found[group] = in_turn(__file__, names, options.peers, rounds, "--group", group)
    on_sqlite = {f"{figure} {where}": style for where in ("tmpfs", "disk") for figure, style in PER_SECOND.items()}
    print(table("one key, no contention", found["speed"], PER_SECOND), end="\n\n")
    print(table("through a file, for processes", found["sqlite"], on_sqlite), end="\n\n")
    print(table("1,000 tasks, 100 threads", found["order"], ORDER), end="\n\n")
    found["together"] = shared = together(options.seconds)
    print(
        f"Eight processes, {shared['seconds']:.0f} s, 100 per second: {shared['granted']:,.0f} granted,"
        f" at most {shared['most in any second']:.0f} in any second."
    )
    reached = found["speed"]["rota"].get("granted/s", 0), found["sqlite"]["rota, SQLite"].get("granted/s tmpfs", 0)
    met = reached[0] >= LIMITS["granted/s"] and reached[1] >= LIMITS["sqlite"] and shared["most in any second"] <= 100
    print(
        f"Targets (1,000,000/s in process, 50,000/s through SQLite, never one too many): {'met' if met else 'MISSED'}."
    )
    save(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
