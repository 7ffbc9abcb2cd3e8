-- Instants are seconds since the epoch (UTC). Bodies are opaque to the database.

CREATE TABLE instances(id INTEGER PRIMARY KEY, app TEXT NOT NULL, namespace TEXT NOT NULL, state BLOB NOT NULL, spec_id INTEGER NOT NULL) STRICT;
CREATE TABLE specs(id INTEGER PRIMARY KEY, app TEXT NOT NULL, body BLOB NOT NULL, created REAL NOT NULL) STRICT;
CREATE TABLE events(id INTEGER PRIMARY KEY, at REAL NOT NULL, instance INTEGER, app TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX events_by_app ON events(app, at);
CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- Known jobs. `app` is '' for jobs that the daemon runs itself, else the app (or Scheduler name) they live in, so that two
-- apps may both have a job called "cleanup".
CREATE TABLE jobs(
  app TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL,
  source TEXT NOT NULL CHECK (source IN ('daemon', 'library')),
  schedule TEXT NOT NULL DEFAULT '',        -- for people: "every 2m", "0 2 * * * Europe/Paris"
  cron TEXT NOT NULL DEFAULT '',
  every REAL NOT NULL DEFAULT 0,            -- seconds; 0 = not an interval job
  tz TEXT NOT NULL DEFAULT '',
  policy TEXT NOT NULL DEFAULT '{}',        -- JSON: the other options, for show
  host TEXT NOT NULL DEFAULT '',
  pid INTEGER,                              -- process that registered it last
  registered_at REAL NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0,       -- no automatic run before this instant: circuit breaker, stretched interval
  hold TEXT NOT NULL DEFAULT '',            -- why: 'breaker', 'adaptive', ''
  last_due REAL,                            -- latest due time that was decided (run, skipped or missed)
  horizon REAL NOT NULL DEFAULT 0,          -- last_due before the clock was put back
  relived INTEGER NOT NULL DEFAULT 0,       -- how often it was
  next_due REAL,
  expected_by REAL,                         -- after this instant without a finished run the job is late
  stale_after REAL NOT NULL DEFAULT 0,      -- seconds without a success; 0 = twice the interval
  last_started REAL,
  last_finished REAL,
  last_success REAL,
  last_outcome TEXT,
  last_error TEXT NOT NULL DEFAULT '',
  last_duration REAL,
  run_count INTEGER NOT NULL DEFAULT 0,     -- finished runs: ok, failed, timeout, stuck, abandoned, cancelled
  error_count INTEGER NOT NULL DEFAULT 0,   -- of these: failed, timeout, stuck, abandoned
  skip_count INTEGER NOT NULL DEFAULT 0,
  miss_count INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,      -- consecutive errors
  fence INTEGER NOT NULL DEFAULT 0,         -- last fencing token handed out
  pruned_due REAL NOT NULL DEFAULT 0,       -- due times up to here may have lost their row and stay decided
  PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_expected ON jobs(expected_by);

-- One row per due time and attempt chain. The unique insert on (app, job, due) is the claim; manual runs, retries of
-- abandoned runs and `after` runs have no due time.
CREATE TABLE runs(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app TEXT NOT NULL DEFAULT '',
  job TEXT NOT NULL,
  due REAL,
  "trigger" TEXT NOT NULL CHECK ("trigger" IN ('cron', 'manual', 'retry', 'catch-up', 'after')),
  state TEXT NOT NULL CHECK (state IN ('requested', 'claimed', 'waiting', 'running', 'finished')),
  outcome TEXT CHECK (outcome IN ('ok', 'failed', 'timeout', 'skipped', 'missed', 'stuck', 'abandoned', 'cancelled')),
  attempt INTEGER NOT NULL DEFAULT 1,
  parent INTEGER,                           -- the run this one repeats or follows
  requested REAL,
  claimed REAL,
  claimed_by TEXT NOT NULL DEFAULT '',      -- worker: host:pid:random
  host TEXT NOT NULL DEFAULT '',
  pid INTEGER,
  instance INTEGER,
  fence INTEGER NOT NULL DEFAULT 0,
  lease_until REAL,
  started REAL,
  finished REAL,
  exit_code INTEGER,
  signal TEXT,
  error TEXT NOT NULL DEFAULT '',
  output TEXT NOT NULL DEFAULT '',          -- file that holds the run's output
  output_start INTEGER,
  output_end INTEGER,
  done INTEGER,                             -- progress
  total INTEGER,
  resumed_from INTEGER NOT NULL DEFAULT 0,  -- `done` at the start: what an earlier run had confirmed
  progress_at REAL,
  cancel_requested INTEGER NOT NULL DEFAULT 0,  -- another process asks the owner to end it
  note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX runs_due ON runs(app, job, due) WHERE due IS NOT NULL;
CREATE INDEX runs_by_job ON runs(app, job, id);
CREATE INDEX runs_open ON runs(app, job) WHERE state <> 'finished';

CREATE TABLE leases(name TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, until REAL NOT NULL) STRICT, WITHOUT ROWID;

-- Budgets (GCRA): `tat` is the theoretical arrival time; `spent` the recent takes that the window rule counts.
CREATE TABLE buckets(
  key TEXT PRIMARY KEY,
  tat REAL NOT NULL DEFAULT 0,
  spent BLOB,
  blocked_until REAL NOT NULL DEFAULT 0,
  capacity REAL NOT NULL DEFAULT 0,
  per REAL NOT NULL DEFAULT 0,
  burst REAL NOT NULL DEFAULT 0,
  window INTEGER NOT NULL DEFAULT 1,
  version INTEGER NOT NULL DEFAULT 0,       -- grows with every change of the bucket or its line
  updated REAL NOT NULL DEFAULT 0           -- wall clock of the last write: shows that the clock was set back
) STRICT, WITHOUT ROWID;

-- Who waits for a budget, in order of arrival, over all processes. A waiter whose holder has expired is passed over.
CREATE TABLE waiters(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  cost REAL NOT NULL,
  holder TEXT NOT NULL,
  ready_at REAL                             -- set for reservations: the instant that was promised; they do not expire
) STRICT;
CREATE INDEX waiters_by_key ON waiters(key, id);
CREATE TABLE holders(name TEXT PRIMARY KEY, expires REAL NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE heartbeats(
  name TEXT PRIMARY KEY,
  app TEXT NOT NULL DEFAULT '',
  host TEXT NOT NULL DEFAULT '',
  pid INTEGER,
  started REAL NOT NULL,
  at REAL NOT NULL,
  expected_by REAL NOT NULL,
  detail TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints(
  source TEXT NOT NULL,
  chain TEXT NOT NULL DEFAULT '',
  app TEXT NOT NULL DEFAULT '',
  last_block INTEGER,
  records_total INTEGER,
  updated_at REAL NOT NULL,
  stale_after REAL NOT NULL DEFAULT 0,
  data TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (source, chain)
) STRICT, WITHOUT ROWID;
