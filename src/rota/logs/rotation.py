"""PURE. When a log is rotated, what the rotated file is called, and which old ones go.

Names and settings are pm2-logrotate's; unlike it, rotation here is on by default, renames, and compresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final, NamedTuple

from rota.errors import SpecError
from rota.logs.dates import DateFormat, zone
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NextInstant = Callable[[float], float | None]
"""Given an instant (seconds since the epoch), the next one that is due after it, or None for never."""

CronParser = Callable[[str, str | None], NextInstant]
"""(expression, time zone name or None) -> NextInstant. Raises SpecError or ValueError for a wrong expression."""

MIB: Final = 1024 * 1024


def daily(tz: tzinfo | None = None) -> NextInstant:
    """Every midnight of that zone (None: the machine's)."""

    def next_midnight(after: float) -> float:
        at = datetime.fromtimestamp(after, tz)
        midnight = datetime.combine(at.date() + timedelta(days=1), datetime.min.time(), tz)
        return midnight.timestamp()

    return next_midnight


_MIDNIGHT: Final = daily()


class RotationPolicy(NamedTuple):
    """When and how a log file is rotated. The defaults are rota's own.

    Attributes:
        max_size: rotate once the file has this many bytes; 0: never by size.
        keep: rotated files kept per log; None: all of them.
        compress: gzip them.
        date_format: the date in the name, day.js or moment.js tokens.
        next_time: when to rotate whatever the size, if there is anything in the file; None: never by time.
        check_every: seconds between looks at the size; 0: at every write.
        tz: time zone name of the date in the name; None: the machine's.
        max_total: bytes that all logs of one app, rotated ones included, may take; the oldest rotated go; 0: no cap. Seen to
            whenever one of them is rotated, so that live logs may come on top with `max_size` each.
    """

    max_size: int = 10 * MIB
    keep: int | None = 30
    compress: bool = True
    date_format: str = "YYYY-MM-DD_HH-mm-ss"
    next_time: NextInstant | None = _MIDNIGHT
    check_every: float = 0.0
    tz: str | None = None
    max_total: int = 1024 * MIB

    def is_too_big(self, size: int, since_check: float) -> bool:
        """Whether `size` bytes call for rotation, `since_check` seconds after the last look.

        A file that alone takes a quarter of the app's cap does not wait for the next look.
        """
        if not self.max_size or size < self.max_size:
            return False
        return since_check >= self.check_every or (self.max_total > 0 and size >= self.max_total // 4)

    def next_after(self, instant: float) -> float:
        """The next rotation by time, seconds since the epoch; infinity for never."""
        due = self.next_time(instant) if self.next_time else None
        return float("inf") if due is None else due

    def date(self) -> DateFormat:
        return DateFormat(self.date_format, zone(self.tz) if self.tz else None, extended=True)


def live_base(name: str) -> str:
    """The part of a log's file name that its rotated files share."""
    return name.removesuffix(".log")


def rotated_name(name: str, date: str, turn: int) -> str:
    """The file name of a rotated log: `api-out__2026-01-31_00-00-00.log`; `turn` 1, 2, ... where that is taken."""
    clean = date.replace("/", "-").replace("\0", "")
    return f"{live_base(name)}__{clean}{f'.{turn}' if turn else ''}.log"


class Rotated(NamedTuple):
    """One rotated file in a directory listing.

    Attributes:
        name: its file name.
        stem: the name without `.gz`: the same before and after compression.
        modified: seconds since the epoch of the last write; compression keeps it.
        size: bytes on disk.
        inode: 0 where it does not matter.
    """

    name: str
    stem: str
    modified: float
    size: int
    inode: int = 0

    @property
    def compressed(self) -> bool:
        return self.name.endswith(".gz")

    @property
    def age_key(self) -> tuple[float, int, str]:
        """Sorts oldest first. Many rotations may share a second, and two of them a clock tick."""
        turn = _TURN.search(self.stem)
        return (self.modified, int(turn[1]) if turn else 0, self.stem)


_TURN: Final = re.compile(r"\.(\d+)\.log\Z")


def rotated_stem(live_name: str, name: str) -> str | None:
    """The stem of `name` if it is a rotated file of the log `live_name`, else None.

    A date always has a digit: so `api__blue.log`, a log of another app, is not taken for a rotated `api.log`.
    """
    stem = name.removesuffix(".gz")
    prefix = live_base(live_name) + "__"
    if not stem.startswith(prefix) or not stem.endswith(".log"):
        return None
    return stem if any(character.isdigit() for character in stem[len(prefix) : -4]) else None


def live_candidates(name: str) -> list[str]:
    """The logs whose rotated file `name` could be, were they there: everything up to any `__`, with and without `.log`."""
    places = [found.start() for found in re.finditer("(?=__)", name)]
    return [name[:place] + ending for place in places for ending in (".log", "")]


def chain(files: Iterable[Rotated]) -> list[Rotated]:
    """Oldest first, each stem once: while one is being compressed both forms exist, and the plain one is the whole one."""
    chosen: dict[str, Rotated] = {}
    for file in files:
        if file.stem not in chosen or chosen[file.stem].compressed:
            chosen[file.stem] = file
    return sorted(chosen.values(), key=lambda file: file.age_key)


def beyond_keep(files: Sequence[Rotated], keep: int | None) -> list[Rotated]:
    """Of a chain, those that are too many."""
    return [] if keep is None else list(files[: max(len(files) - keep, 0)])


def beyond_total(files: Iterable[Rotated], live_bytes: int, max_total: int) -> list[Rotated]:
    """Of all rotated files of an app, the oldest that must go so that everything fits into `max_total`; 0: none."""
    oldest_first = sorted(files, key=lambda file: file.age_key)
    total = live_bytes + sum(file.size for file in oldest_first)
    gone: list[Rotated] = []
    for file in oldest_first:
        if not max_total or total <= max_total:
            break
        gone.append(file)
        total -= file.size
    return gone


_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", re.IGNORECASE)
DAILY: Final = "0 0 * * *"
ROTATION_SECTIONS = ("pm2-logrotate", "rota-logrotate", "logrotate")
"""Names under which `set` stores settings of rotation; later ones win."""
_SETTINGS: Final = tuple(
    "max_size retain compress dateFormat rotateInterval workerInterval rotateModule TZ max_total".split()  # noqa: SIM905
)
_PREFIX: Final = "pm2-logrotate:"


def parse_size(text: str, key: str = "max_size") -> int:
    """`10M` -> 10485760; K, M and G are binary, nothing is bytes. Raises SpecError."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise SpecError(f"{text!r} is not a size", "write a number with K, M or G, such as 10M", key=key)
    return int(float(found[1]) * 1024 ** " KMG".index(found[2].upper() or " "))


def policy_from_settings(settings: Mapping[str, object], cron: CronParser) -> RotationPolicy:
    """The policy that `pm2-logrotate:*` settings ask for, the rest being rota's defaults.

    Args:
        settings: key -> value as stored by `set`, keys with or without `pm2-logrotate:`. Values may be strings.
        cron: turns `rotateInterval` into instants.

    `rotateModule` has nothing to act on, since rota has no modules; `max_total` is rota's own. Raises SpecError.
    """
    given = {key.removeprefix(_PREFIX): str(value).strip() for key, value in settings.items()}
    for key in given:
        if key not in _SETTINGS:
            raise SpecError("unknown setting", suggestion(key, _SETTINGS), key=_PREFIX + key)
    tz = _zone(given.get("TZ") or "")
    interval = given.get("rotateInterval", DAILY)
    default = RotationPolicy()
    return RotationPolicy(
        max_size=parse_size(given["max_size"], _PREFIX + "max_size") if "max_size" in given else default.max_size,
        keep=_keep(given["retain"]) if "retain" in given else default.keep,
        compress=_flag(given["compress"]) if "compress" in given else default.compress,
        date_format=_format(given.get("dateFormat") or default.date_format),
        next_time=_cron(interval, tz, cron) if interval else None,
        check_every=_seconds(given["workerInterval"]) if "workerInterval" in given else default.check_every,
        tz=tz,
        max_total=parse_size(given["max_total"], _PREFIX + "max_total") if "max_total" in given else default.max_total,
    )


def _zone(text: str) -> str | None:
    try:
        return zone(text).key if text else None
    except SpecError as error:
        raise SpecError(error.message, error.hint, key=_PREFIX + "TZ") from None


def _keep(text: str) -> int | None:
    try:
        count = int(text)
    except ValueError:
        return None  # `all`, and anything else that is no number, as in pm2-logrotate
    if count < 0:
        raise SpecError("cannot keep fewer than 0 files", "use a number, or all", key=_PREFIX + "retain")
    return count


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise SpecError(f"{text!r} is neither true nor false", key=_PREFIX + "compress")
    return text.lower() == "true"


def _format(text: str) -> str:
    if not any(character.isdigit() for character in DateFormat(text, UTC, extended=True)(0.0)):
        raise SpecError(
            f"{text!r} contains no date", "use tokens such as YYYY-MM-DD_HH-mm-ss", key=_PREFIX + "dateFormat"
        )
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 1e9:
        raise SpecError(f"{text!r} is not a number of seconds", key=_PREFIX + "workerInterval")
    return seconds


def _cron(expression: str, tz: str | None, cron: CronParser) -> NextInstant:
    try:
        return cron(expression, tz)
    except (SpecError, ValueError) as error:
        raise SpecError(
            f"{expression!r} is not a cron expression: {getattr(error, 'message', error)}",
            "write five fields, such as 0 0 * * *",
            key=_PREFIX + "rotateInterval",
        ) from error
