"""The sidecar of times."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.logs.index import Index, IndexWriter, index_path

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1_767_000_000.0
RECORDS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 3600)), max_size=12)


def packed(records: list[tuple[int, int]]) -> bytes:
    return b"".join(struct.pack("<QQ", offset, int((T0 + after) * 1e6)) for offset, after in records)


def test_an_offset_has_the_time_of_the_last_record_at_or_before_it() -> None:
    index = Index.parse(packed([(0, 0), (100, 10), (250, 20)]))

    assert [index.time_at(offset) for offset in (0, 99, 100, 249, 9999)] == [T0, T0, T0 + 10, T0 + 10, T0 + 20]


def test_everything_before_the_offset_for_a_time_is_older_than_that_time() -> None:
    index = Index.parse(packed([(0, 0), (100, 10), (250, 20)]))

    assert [index.offset_at(T0 + after) for after in (-5, 0, 9, 10, 15, 99)] == [0, 0, 0, 100, 100, 250]


@given(RECORDS, st.binary(max_size=15))
def test_a_torn_tail_changes_nothing(records: list[tuple[int, int]], torn: bytes) -> None:
    whole, damaged = Index.parse(packed(records)), Index.parse(packed(records) + torn)

    assert (damaged.offsets, damaged.times) == (whole.offsets, whole.times)


@given(RECORDS, st.integers(0, 1000))
def test_offsets_always_rise_and_stay_within_the_file(records: list[tuple[int, int]], size: int) -> None:
    offsets = Index.parse(packed(records), size).offsets

    assert offsets == sorted(set(offsets))
    assert all(offset <= size for offset in offsets)


def test_records_from_before_the_file_was_cut_are_forgotten() -> None:
    index = Index.parse(packed([(0, 0), (500, 10), (900, 20), (0, 30), (600, 40)]))

    assert (index.offsets, index.times) == ([0, 600], [T0 + 30, T0 + 40])


def test_zeros_left_by_a_power_cut_are_no_records() -> None:
    assert Index.parse(packed([(0, 0)]) + bytes(64)).offsets == [0]


def test_a_missing_index_knows_nothing(tmp_path: Path) -> None:
    index = Index.read(str(tmp_path / "none.log"))

    assert (index.time_at(5), index.offset_at(T0)) == (None, 0)


def test_what_is_written_reads_back_even_after_a_torn_record(tmp_path: Path) -> None:
    log = str(tmp_path / "api-out.log")
    writer = IndexWriter(log)
    writer.note(0, T0, 0.0)
    with open(index_path(log), "ab") as file:
        file.write(b"torn")
    writer.note(100, T0 + 5, 5.0)

    index = Index.read(log)
    assert (index.offsets, index.times) == ([0, 100], [T0, T0 + 5])


def test_the_index_goes_along_when_the_log_is_renamed(tmp_path: Path) -> None:
    log, old = str(tmp_path / "api-out.log"), str(tmp_path / "api-out__2026.log")
    writer = IndexWriter(log)
    writer.note(0, T0, 0.0)
    writer.rename(old)

    assert Index.read(old).times == [T0]
    assert Index.read(old + ".gz").times == [T0]
    assert Index.read(log).times == []
    assert writer.first_time() is None


@pytest.mark.parametrize(
    ("end", "now", "expected"),
    [(10, 0.5, False), (10, 1.0, True), (64 * 1024, 0.5, True), (64 * 1024, 0.01, False)],
)
def test_at_most_one_record_a_second_or_per_64_kib_in_a_rush(
    tmp_path: Path, end: int, now: float, expected: bool
) -> None:
    writer = IndexWriter(str(tmp_path / "a.log"))
    writer.note(0, T0, 0.0)

    assert writer.due(end, now) is expected


def test_an_index_that_cannot_be_written_disturbs_nobody(tmp_path: Path) -> None:
    IndexWriter(str(tmp_path / "missing" / "a.log")).note(0, T0, 0.0)

    assert Index.read(str(tmp_path / "missing" / "a.log")).times == []
