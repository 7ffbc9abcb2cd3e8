"""Rows of specifications: shared by identity, dropped with their last user, whatever the order of writes and failures."""

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.spec_rows import Row, SpecRows
from rota.process.spec import AppSpec

SPECS = [AppSpec(name=f"app-{number}") for number in range(3)]
writes = st.lists(
    st.tuples(st.dictionaries(st.integers(0, 4), st.none() | st.sampled_from(SPECS), max_size=4), st.booleans())
)


@given(writes)
def test_the_table_holds_exactly_what_is_used(writes: list[tuple[dict[int, AppSpec | None], bool]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE specs(id INTEGER PRIMARY KEY, app TEXT, body BLOB, created REAL)")
    rows = SpecRows()
    wanted: dict[int, AppSpec] = {}
    for changes, fails in writes:
        connection.execute("BEGIN")
        fresh: dict[int, Row] = {}
        written: dict[int, Row | None] = {}
        for instance, spec in changes.items():
            written[instance] = None if spec is None else rows.put(connection, spec, 0.0, fresh)
        connection.executemany("DELETE FROM specs WHERE id = ?", [(row,) for row in rows.unused(written)])
        connection.execute("ROLLBACK" if fails else "COMMIT")
        if fails:
            continue
        rows.commit(written)
        for instance, spec in changes.items():
            if spec is None:
                wanted.pop(instance, None)
            else:
                wanted[instance] = spec
        assert {instance: row[1] for instance in range(5) if (row := rows.of(instance))} == wanted
        stored = dict(connection.execute("SELECT id, app FROM specs").fetchall())
        assert sorted(stored.values()) == sorted({spec.name for spec in wanted.values()})
        assert all(stored[row[0]] == row[1].name for instance in range(5) if (row := rows.of(instance)))
