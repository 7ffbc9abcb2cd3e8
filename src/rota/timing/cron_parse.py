"""From the text of a cron expression to sets of numbers; what is doubtful is refused with field, column and reason."""

from __future__ import annotations

from dataclasses import dataclass

from rota.errors import SpecError
from rota.timing.cron_days import ever_matches

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_NO_ALIAS = {
    "@reboot": "to run when rota starts, use run_on_start",
    "@every": "for a fixed interval, use every",
}


class CronError(SpecError, ValueError):
    """A cron expression, or its time zone, that has no single clear meaning.

    Args:
        reason: what is wrong with the field, as "24 is above 23".
        expression: the whole text.
        field: the name of the field ("hour", "day-of-month", "time zone"...), "" when the whole expression is meant.
        column: where in the text it stands, counted from 1.
        hint: what to write instead.
    """

    code = "cron"

    def __init__(self, reason: str, *, expression: str, field: str = "", column: int = 1, hint: str = "") -> None:
        where = f"{field}, column {column}" if field else f"column {column}"
        super().__init__(f"cron expression {expression!r}, {where}: {reason}", hint)
        self.reason = reason
        self.expression = expression
        self.field = field
        self.column = column

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (self.reason, self.expression, self.field, self.column, self.hint)


def _revive(reason: str, expression: str, field: str, column: int, hint: str) -> CronError:
    """Unpickle: keyword-only arguments are beyond the default protocol."""
    return CronError(reason, expression=expression, field=field, column=column, hint=hint)


@dataclass(frozen=True, slots=True)
class Domain:
    """What one field may hold."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many values there are; 7 days in a week though 0 and 7 are both Sunday."""
        return 7 if self.high == 7 else self.high - self.low + 1


SECOND = Domain("second", 0, 59)
MINUTE = Domain("minute", 0, 59)
HOUR = Domain("hour", 0, 23)
DAY = Domain("day-of-month", 1, 31)
MONTH = Domain("month", 1, 12, MONTHS)
WEEKDAY = Domain("day-of-week", 0, 7, WEEKDAYS)


@dataclass(frozen=True, slots=True)
class Fields:
    """A parsed expression. Weekdays count from Sunday = 0.

    Args:
        texts: the fields as written (aliases resolved), without the seconds in the five-field form.
        second, minute, hour, day, month, weekday: the plain values.
        last_day: `L`. last_workday: `LW`. near: days n of `nW`.
        nth: (weekday, k) of `d#k`. last_weekdays: d of `dL`.
        either: a day matches when either day field does; else both must.
    """

    texts: tuple[str, ...]
    second: frozenset[int]
    minute: frozenset[int]
    hour: frozenset[int]
    day: frozenset[int]
    month: frozenset[int]
    weekday: frozenset[int]
    last_day: bool = False
    last_workday: bool = False
    near: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()
    last_weekdays: frozenset[int] = frozenset()
    either: bool = False

    @property
    def wild(self) -> bool:
        """Whether the minute, the hour or a given seconds field begins with a star: it follows real time."""
        clock = self.texts[:-3]
        return any(text.startswith("*") for text in clock)


class _Reader:
    """One field being read: knows where it stands, so that a complaint can point at the place."""

    def __init__(self, expression: str, domain: Domain, text: str, column: int) -> None:
        self.expression = expression
        self.domain = domain
        self.text = text
        self.column = column

    def error(self, reason: str, offset: int = 0, hint: str = "") -> CronError:
        return CronError(
            reason, expression=self.expression, field=self.domain.name, column=self.column + offset, hint=hint
        )

    def terms(self) -> list[tuple[str, int]]:
        """The comma-separated terms with their offsets."""
        found, offset = [], 0
        for term in self.text.split(","):
            if not term:
                raise self.error("an empty term: a comma stands before or after nothing", offset)
            found.append((term, offset))
            offset += len(term) + 1
        return found

    def value(self, text: str, offset: int) -> int:
        domain = self.domain
        if text.isdigit():
            number = int(text[-9:]) if not text[:-9].strip("0") else 10**9
            if number < domain.low:
                raise self.error(f"{text} is below {domain.low}", offset)
            if number > domain.high:
                raise self.error(f"{text} is above {domain.high}", offset)
            return number
        if text.upper() in domain.names:
            return domain.names.index(text.upper()) + domain.low
        raise self.error(self._why_no_value(text), offset)

    def single(self, text: str, offset: int, mark: str) -> int:
        """The day before a mark that takes no range."""
        if "-" in text or "*" in text:
            raise self.error(f"{text}{mark}: {mark} follows a single day", offset)
        return self.value(text, offset)

    def _why_no_value(self, text: str) -> str:
        domain = self.domain
        if not text:
            return "a number is missing"
        if text == "?":
            day_field = domain in (DAY, WEEKDAY)
            return "? must stand alone" if day_field else "? is for the day fields only"
        if ":" in text:
            return f"{text!r} looks like a time of day; minutes come first, then hours"
        if domain.names and any(name.startswith(text[:3].upper()) for name in domain.names if len(text) > 2):
            return f"{text!r} is not a name; names have three letters, as {text[:3].upper()}"
        return f"{text!r} is not a number" + (f" or a name such as {domain.names[1]}" if domain.names else "")

    def step(self, text: str, offset: int) -> int:
        if not text.isdigit():
            raise self.error(f"the step {text!r} is not a number" if text else "the step is missing", offset)
        number = int(text[-9:]) if not text[:-9].strip("0") else 10**9
        if number < 1:
            raise self.error("a step must be at least 1", offset)
        if number > self.domain.size:
            raise self.error(f"the step {text} is above {self.domain.size}, so it would never be taken", offset)
        return number

    def range(self, term: str, offset: int) -> range:
        """`*`, `a`, `a-b`, and each with `/n`."""
        base, slash, step_text = term.partition("/")
        step = self.step(step_text, offset + len(base) + 1) if slash else 1
        if base == "*":
            return range(self.domain.low, self.domain.high + 1, step)
        first_text, dash, last_text = base.partition("-")
        first = self.value(first_text, offset)
        if not dash:
            return range(first, self.domain.high + 1, step) if slash else range(first, first + 1)
        last = self.value(last_text, offset + len(first_text) + 1)
        if last < first:
            low, high = self.domain.low, self.domain.high
            rest = "" if self.domain is WEEKDAY and last == 0 else f",{low}" if last == low else f",{low}-{last_text}"
            raise self.error(f"the range {base} runs backwards", offset, f"write {first_text}-{high}{rest}")
        return range(first, last + 1, step)


def _plain(reader: _Reader) -> frozenset[int]:
    return frozenset(n for term, offset in reader.terms() for n in reader.range(term, offset))


def _days(reader: _Reader) -> tuple[frozenset[int], frozenset[int], bool, bool]:
    """Day of month: plain days, days of `nW`, whether `L`, whether `LW`."""
    if reader.text == "?":
        return frozenset(range(1, 32)), frozenset(), False, False
    plain: set[int] = set()
    near: set[int] = set()
    last_day = last_workday = False
    for term, offset in reader.terms():
        upper = term.upper()
        if upper == "L":
            last_day = True
        elif upper == "LW":
            last_workday = True
        elif upper.startswith("L"):
            raise reader.error(f"{term!r}: only L and LW are known", offset)
        elif upper.endswith("W"):
            near.add(reader.single(term[:-1], offset, "W"))
        else:
            plain.update(reader.range(term, offset))
    return frozenset(plain), frozenset(near), last_day, last_workday


def _weekdays(reader: _Reader) -> tuple[frozenset[int], frozenset[tuple[int, int]], frozenset[int]]:
    """Day of week: plain days, (day, k) of `d#k`, days of `dL`."""
    if reader.text == "?":
        return frozenset(range(7)), frozenset(), frozenset()
    plain: set[int] = set()
    nth: set[tuple[int, int]] = set()
    last: set[int] = set()
    for term, offset in reader.terms():
        day, mark, count = term.partition("#")
        if mark:
            if count not in ("1", "2", "3", "4", "5"):
                raise reader.error(f"{term!r}: the number after # is 1 to 5", offset + len(day) + 1)
            nth.add((reader.single(day, offset, "#") % 7, int(count)))
        elif term.upper() == "L":
            raise reader.error(
                "L alone is unclear here", offset, "name the day: FRIL is the last Friday; SAT is Saturday"
            )
        elif term.upper().endswith("L"):
            last.add(reader.single(term[:-1], offset, "L") % 7)
        else:
            plain.update(n % 7 for n in reader.range(term, offset))
    return frozenset(plain), frozenset(nth), frozenset(last)


def _split(text: str) -> list[tuple[str, int]]:
    """Fields and their columns; blanks and tabs separate."""
    fields: list[tuple[str, int]] = []
    start = -1
    for n, letter in enumerate(text + " "):
        if letter in " \t":
            if start >= 0:
                fields.append((text[start:n], start + 1))
            start = -1
        elif start < 0:
            start = n
    return fields


def _check_letters(text: str) -> None:
    for n, letter in enumerate(text, start=1):
        if not ("!" <= letter <= "~" or letter in " \t"):
            reason = f"the character {letter!a} is not allowed; fields are separated by blanks or tabs"
            raise CronError(reason, expression=text, column=n)


def _unalias(text: str, fields: list[tuple[str, int]]) -> list[tuple[str, int]]:
    word, column = fields[0]
    alias = ALIASES.get(word.lower())
    if alias is None:
        hint = _NO_ALIAS.get(word.lower(), "the aliases are " + " ".join(ALIASES))
        raise CronError(f"{word} is not a cron alias", expression=text, column=column, hint=hint)
    if len(fields) > 1:
        raise CronError(f"{word} stands alone", expression=text, column=fields[1][1])
    return [(field, column) for field in alias.split()]


def parse(text: str) -> Fields:
    """Read a cron expression of five fields, or six with seconds first.

    Raises:
        CronError: anything that is not exactly the dialect.
    """
    _check_letters(text)
    columns = _split(text)
    if columns and columns[0][0].startswith("@"):
        columns = _unalias(text, columns)
    if len(columns) not in (5, 6):
        fields = "1 field" if len(columns) == 1 else f"{len(columns)} fields"
        reason = f"it has {fields}; 5 are needed, or 6 with seconds first"
        column = columns[6][1] if len(columns) > 6 else len(text.rstrip(" \t")) + 1
        hint = (
            "years are not part of the dialect" if len(columns) == 7 else "minute hour day-of-month month day-of-week"
        )
        raise CronError(reason, expression=text, column=column, hint=hint)
    domains = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)[-len(columns) :]
    readers = [_Reader(text, domain, field, col) for domain, (field, col) in zip(domains, columns, strict=True)]
    return _assemble(readers)


def _assemble(readers: list[_Reader]) -> Fields:
    minute, hour, day, month, weekday = readers[-5:]
    second = _plain(readers[0]) if len(readers) == 6 else frozenset((0,))
    minutes, hours = _plain(minute), _plain(hour)
    days, near, last_day, last_workday = _days(day)
    months = _plain(month)
    weekdays, nth, last_weekdays = _weekdays(weekday)
    # Debian cron's rule, confirmed on its daemon: a day field that merely begins with a star (so also */2) makes both
    # count; otherwise it is enough that either matches.
    starred = any(field.text.startswith(("*", "?")) for field in (day, weekday))
    fields = Fields(
        texts=tuple(field.text for field in readers),
        second=second,
        minute=minutes,
        hour=hours,
        day=days,
        month=months,
        weekday=weekdays,
        last_day=last_day,
        last_workday=last_workday,
        near=near,
        nth=nth,
        last_weekdays=last_weekdays,
        either=not starred,
    )
    if not ever_matches(fields):
        on = "" if weekday.text in ("*", "?") else f" on weekday {weekday.text}"
        raise day.error(f"no year has a day {day.text} in month {month.text}{on}", hint="it would never run")
    return fields
