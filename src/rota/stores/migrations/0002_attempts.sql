-- Which start of its instance the present attempt of a run is: after a crash it tells whether that start was ever ordered.
ALTER TABLE runs ADD COLUMN gen INTEGER NOT NULL DEFAULT 0;
