"""The service behind a contest: collects the posts that take part, keeps their counts fresh, and freezes the result.

    python contest.py                 run it
    python contest.py JOB             one run of one job, for rota.toml

mentions   every 2 min, at most 10 requests per 15 min: new posts become entries
likes      every 3 min  } share 15 lookups per 15 min: the counts of the 50 entries that were not looked at longest
reposts    every 3 min  }
freeze     at midnight: looks every entry up once more, 50 at a time with a second between, and writes snapshot.json

SPEED=300 makes intervals and windows 300 times shorter, for tests. MENTIONS_INTERVAL, LIKES_INTERVAL, REPOSTS_INTERVAL and
FREEZE_AT (a cron expression) override.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rota import Budget, Run, Scheduler, this_run

if TYPE_CHECKING:
    from collections.abc import Sequence

SPEED = float(os.environ.get("SPEED", "1"))
API = os.environ.get("CONTEST_API", "http://127.0.0.1:8787")
ENTRIES = os.environ.get("CONTEST_DB", "entries.db")
SNAPSHOT = os.environ.get("CONTEST_SNAPSHOT", "snapshot.json")

MENTIONS = Budget("mentions", limit=10, per=15 * 60 / SPEED)
LOOKUP = Budget("tweet_lookup", limit=15, per=15 * 60 / SPEED)

rota = Scheduler(name="contest")


@rota.every(
    120 / SPEED, name="mentions", env="MENTIONS_INTERVAL", budget=MENTIONS, timeout="20s", retries=2, retry_backoff="5s"
)
def poll_mentions(run: Run) -> None:
    """Collect the posts that mention the contest."""
    with entries() as db:
        since = db.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0]
        found = ask(f"/mentions?since={since}", MENTIONS)["mentions"]
        db.executemany("INSERT OR IGNORE INTO entries(id, author) VALUES (:id, :author)", found)
        total = db.execute("SELECT count(*) FROM entries").fetchone()[0]
    newest = max([since, *(post["id"] for post in found)])
    rota.checkpoint("mentions", stale_after=600 / SPEED).save(last_block=newest, records_total=total)
    run.log.info("%d new entries, %d in all", len(found), total)


@rota.every(180 / SPEED, name="likes", env="LIKES_INTERVAL", budget=LOOKUP, timeout="20s")
def sweep_likes() -> None:
    """Refresh the likes of the entries whose turn it is."""
    sweep("likes")


@rota.every(180 / SPEED, name="reposts", env="REPOSTS_INTERVAL", budget=LOOKUP, timeout="20s")
def sweep_reposts() -> None:
    """Refresh the reposts of the entries whose turn it is."""
    sweep("reposts")


@rota.cron(
    "0 0 * * *", tz="UTC", name="freeze", env="FREEZE_AT", timeout="2h", missed="one", retries=2, retry_backoff="5s"
)
async def freeze(run: Run) -> None:
    """Look every entry up once more and write down the result. A run that was cut short goes on where it was."""
    with entries() as db:
        ids = [row[0] for row in db.execute("SELECT id FROM entries ORDER BY id")]
    async for batch in run.batches(ids, size=50, pause=1 / SPEED, budget=LOOKUP, resume=True):
        posts = await asyncio.to_thread(look_up, batch)
        with entries() as db:
            db.executemany("UPDATE entries SET valid = 0 WHERE id = ?", [(n,) for n in set(batch) - posts.keys()])
            db.executemany("UPDATE entries SET valid = 1 WHERE id = ?", [(n,) for n in posts])
    write_snapshot(run)


def sweep(what: str) -> None:
    """One request: the 50 entries whose count is oldest."""
    with entries() as db:
        ids = [row[0] for row in db.execute(f"SELECT id FROM entries ORDER BY {what}_at, id LIMIT 50")]
        posts = look_up(ids) if ids else {}
        fresh = [(post[what], n) for n, post in posts.items()]
        db.executemany(f"UPDATE entries SET {what} = ?, {what}_at = {what}_at + 1 WHERE id = ?", fresh)


def look_up(ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The posts that still exist."""
    found = ask(f"/lookup?ids={','.join(map(str, ids))}", LOOKUP)["posts"]
    return {post["id"]: post for post in found}


def ask(path: str, budget: Budget) -> dict[str, Any]:
    """One request. Should the server refuse it all the same, everybody pauses as long as it says."""
    try:
        with urllib.request.urlopen(API + path, timeout=10) as answer:
            body: dict[str, Any] = json.load(answer)
            return body
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 429:
                budget.penalize(retry_after=error.headers.get("Retry-After", "60"))
            raise


def write_snapshot(run: Run) -> None:
    """The result, complete or not at all."""
    with entries() as db:
        rows = db.execute(
            "SELECT id, author, likes, reposts FROM entries WHERE valid ORDER BY likes DESC, id"
        ).fetchall()
        total = db.execute("SELECT count(*) FROM entries").fetchone()[0]
    ranking = [dict(zip(("id", "author", "likes", "reposts"), row, strict=True)) for row in rows]
    with open(f"{SNAPSHOT}.new", "w") as file:
        json.dump({"run": run.id, "entries": total, "valid": len(ranking), "ranking": ranking}, file)
    os.replace(f"{SNAPSHOT}.new", SNAPSHOT)


class entries(closing[sqlite3.Connection]):
    """The table of entries; commits at the end of the block."""

    def __init__(self) -> None:
        db = sqlite3.connect(ENTRIES, timeout=10, isolation_level=None)
        db.execute(
            "CREATE TABLE IF NOT EXISTS entries(id INTEGER PRIMARY KEY, author TEXT, likes INTEGER DEFAULT 0,"
            " reposts INTEGER DEFAULT 0, likes_at INTEGER DEFAULT 0, reposts_at INTEGER DEFAULT 0, valid INTEGER DEFAULT 1)"
        )
        super().__init__(db)


def once(name: str) -> None:
    """One run, here and now: what the jobs of rota.toml do. The daemon has taken their tokens."""
    jobs = {"mentions": poll_mentions, "likes": lambda _: sweep_likes(), "reposts": lambda _: sweep_reposts()}
    if name == "freeze":
        asyncio.run(freeze(this_run()))
    else:
        jobs[name](this_run())


if __name__ == "__main__":
    if sys.argv[1:]:
        once(sys.argv[1])
    else:
        rota.run_forever()
