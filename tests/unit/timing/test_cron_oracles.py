"""Two libraries as further oracles, where they are right. Where they are not is written down here, case by case.

cronsim 2.8 (its zones are not asked at all: UTC only):
- `a-a/n` is read as `a/n`.
- Around a clock change it can answer with an instant that is not later than the start; it loses runs of `0 */2`,
  `7 */3` and `45 *` where clocks change by half an hour; six fields have no rule for clock changes.
- `nW`, `?` and aliases are unknown to it.

croniter 7.0:
- `a-a` is read as the whole field.
- A day field that begins with a star is treated like any other (either field is enough) unless told otherwise;
  `implement_cron_bug` asks for Debian's rule.
- `31W` in April is moved to the 30th.
- The last Friday is `L5`, not `5L`. Six fields have seconds last unless told otherwise.
- Steps that start at a number past the last value, and day-of-week ranges that end in 7 with a step, are read its own
  way; both are left out below.
- Daily jobs run twice in autumn, interval jobs once too often in spring: it is asked in UTC only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rota.timing.cron import Cron, CronError
from tests.unit.timing.expressions import plains

if TYPE_CHECKING:
    from tests.unit.timing.brute_force import Plain

_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
_LAST = st.sampled_from(["", "L", "LW", "d#k", "dL"])


def _equal_range(text: str) -> bool:
    """Whether a term is of the form `a-a` or `a-a/n`."""
    ranges = [term.partition("/")[0].split("-") for field in text.split() for term in field.split(",")]
    return any(len(ends) == 2 and int(ends[0]) == int(ends[1]) for ends in ranges if "*" not in ends)


def _cron(text: str) -> Cron:
    try:
        return Cron(text)
    except CronError as error:
        assert "no year" in error.reason  # noqa: PT017 - the only fault these texts can have
        assume(False)
        raise


@settings(max_examples=80, deadline=None)
@given(plain=st.one_of(plains(), plains(seconds=True)), moment=_MOMENTS, special=_LAST)
def test_cronsim_agrees(plain: Plain, moment: datetime, special: str) -> None:
    assume(not _equal_range(plain.text))
    fields = plain.text.split()
    match special:
        case "L" | "LW":
            fields[-3] = special
        case "d#k":
            fields[-1] = f"{moment.day % 7}#{moment.minute % 5 + 1}"
        case "dL":
            fields[-1] = f"{moment.day % 7}L"
    text = " ".join(fields)
    cron = _cron(text)

    assert cron.next(moment) == next(CronSim(text, moment))


@settings(max_examples=80, deadline=None)
@given(plain=st.one_of(plains(), plains(seconds=True)), moment=_MOMENTS)
def test_croniter_agrees(plain: Plain, moment: datetime) -> None:
    assume(not _equal_range(plain.text))
    assume("/" not in plain.text.split()[-1])
    cron = _cron(plain.text)
    theirs = croniter(
        plain.text, moment, second_at_beginning=True, implement_cron_bug=True, ret_type=datetime,
        max_years_between_matches=400,
    )  # fmt: skip

    assert cron.next(moment) == theirs.get_next()
