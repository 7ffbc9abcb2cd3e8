"""The kinds of value a key can take: a reader for each, from what was written to rota's own units. Every reader raises Wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rota.ecosystem import units, words
from rota.ecosystem.problems import Wrong
from rota.process.spec import MOST_INSTANCES

Reader = Callable[[Any], Any]
_DATE_TIME = "YYYY-MM-DDTHH:mm:ss"
_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU "
    "XFSZ VTALRM PROF WINCH IO PWR SYS POLL"
)
_LIMITS = "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK"
_MODES = {"fork": "fork", "fork_mode": "fork", "cluster": "cluster", "cluster_mode": "cluster"}


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"must be a text, not {units.shown(value)}")
    if "\0" in value:
        raise Wrong("must not contain a NUL character")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Wrong("must not contain half a surrogate pair")
    return value


def filled(value: Any) -> str:
    if not text(value).strip():
        raise Wrong("must not be empty")
    return str(value)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, not {units.shown(value)}")
    return value


def pm2_flag(value: Any) -> bool:
    if value in ("true", "false") and isinstance(value, str):
        return value == "true"
    return flag(value)


def integer(value: Any) -> int:
    if units.is_number(value) and float(value).is_integer():
        return int(value)
    raise Wrong(f"must be a whole number, not {units.shown(value)}")


def pm2_integer(value: Any) -> int:
    """PM2 converts numeric texts."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()):
        return int(value)
    return integer(value)


def at_least(reader: Reader, least: float, called: str) -> Reader:
    """The same reader, refusing smaller values. `called` names the bound for people."""

    def read(value: Any) -> Any:
        result = reader(value)
        if result < least:
            raise Wrong(f"must be at least {called}, not {value}")
        return result

    return read


def port(value: Any) -> int:
    number = pm2_integer(value)
    if not 0 <= number <= 65535:
        raise Wrong(f"must be a port between 0 and 65535, not {number}")
    return number


def arguments(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return words.split_args(text(value))
    if isinstance(value, list | tuple):
        return tuple(env_text(item) if not isinstance(item, str) else text(item) for item in value)
    raise Wrong(f"must be a list or a text, not {units.shown(value)}", 'write ["--port", "8000"] or "--port 8000"')


def strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (text(value),)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(text(item) for item in value)
    raise Wrong(f"must be a text or a list of texts, not {units.shown(value)}")


def spaced(value: Any) -> tuple[str, ...]:
    """PM2 splits `ignore_watch` given as one text at blanks."""
    return tuple(value.split()) if isinstance(value, str) else strings(value)


def codes(value: Any) -> tuple[int, ...]:
    items = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    return tuple(exit_code(item) for item in (items if isinstance(items, list | tuple) else [items]))


def exit_code(value: Any) -> int:
    code = pm2_integer(value)
    if not 0 <= code <= 255:
        raise Wrong(f"must be an exit code between 0 and 255, not {code}")
    return code


def instances(value: Any) -> int:
    """0 = one per CPU. PM2 takes "max", and truncates fractions."""
    if value == "max":
        return 0
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,9}", value.strip()):
        return _bearable(int(value))
    if units.is_number(value) and abs(value) < 1e9:
        return _bearable(int(value))
    raise Wrong(f'must be a number or "max", not {units.shown(value)}')


def most_instances(value: Any) -> int:
    return _bearable(integer(value))


def _bearable(count: int) -> int:
    if count > MOST_INSTANCES:
        raise Wrong(f"must be at most {MOST_INSTANCES}, not {count}", "a port is given as port, or as PORT in env")
    return count


def mode(value: Any) -> str:
    if isinstance(value, str) and value in _MODES:
        return _MODES[value]
    raise Wrong(f'must be "fork" or "cluster", not {units.shown(value)}')


def signal(value: Any) -> str:
    name = text(value).strip().upper().removeprefix("SIG")
    if name in _SIGNALS.split() or re.fullmatch(r"RTM(IN|AX)([+-]\d+)?", name):
        return f"SIG{name}"
    raise Wrong(f'must be a signal name, not "{value}"', 'write "SIGINT", "SIGTERM", "SIGQUIT" or another')


def cron(value: Any) -> str:
    """A cron expression; 0, "0" and false take it away, as in PM2. The expression itself is checked by `rota.timing`."""
    if value in (0, "0", False, ""):
        return ""
    if not isinstance(value, str):
        raise Wrong(f"must be a cron expression, not {units.shown(value)}", 'write five fields, as "*/30 * * * *"')
    from rota.timing.cron import Cron, CronError

    try:
        Cron(value)
    except CronError as error:
        raise Wrong(f"is not understood: {error.message}", error.hint) from None
    return value.strip()


def zone(value: Any) -> str:
    from rota.timing.zone import zone as find

    try:
        find(text(value))
    except ValueError as error:
        raise Wrong(f"is not a time zone: {error}", 'write an IANA name such as "Europe/Paris" or "UTC"') from None
    return str(value)


def user(value: Any) -> str:
    return str(integer(value)) if units.is_number(value) else filled(value)


def umask(value: Any) -> int:
    number = int(value, 8) if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{1,4}", value) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 0o777:
        raise Wrong(f"must be an octal mode, not {units.shown(value)}", 'write "027" or 0o027')
    return int(number)


def nice(value: Any) -> int:
    number = pm2_integer(value)
    if not -20 <= number <= 19:
        raise Wrong(f"must be between -20 and 19, not {number}")
    return number


def limits(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise Wrong(f"must be a table of resource limits, not {units.shown(value)}", "write { NOFILE = 65536 }")
    result = {}
    for name, limit in value.items():
        plain = str(name).upper().removeprefix("RLIMIT_")
        if plain not in _LIMITS.split():
            raise Wrong(f'has no limit "{name}"', f"known: {', '.join(_LIMITS.split())}")
        unlimited = limit in (-1, "unlimited", "infinity")
        result[plain] = -1 if unlimited else units.size(limit)
    return result


def env_text(value: Any) -> str:
    """A value as Node would pass it to a child: `true`, `8000`, `1.5`, `null`, objects as JSON."""
    match value:
        case str():
            return text(value)
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case int() | float():
            return str(value)
    if not isinstance(value, dict | list):
        return str(value)
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Wrong(f"must be an object of names and values, not {_plain(value)}", 'write { "PORT": 8000 }')
    for name in value:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise Wrong("has a name that no environment variable can have", "a name is not empty and holds no =")
    try:
        return {name: env_text(item) for name, item in value.items()}
    except Wrong:
        raise Wrong("has a value that no environment can hold: a NUL character, or half a surrogate pair") from None


def _plain(value: Any) -> str:
    # An environment given as a text may hold a secret: it is never repeated.
    return "a text" if isinstance(value, str) else units.shown(value)


def filter_env(value: Any) -> tuple[str, ...]:
    """PM2: list = drop every variable that contains one of the texts, text = drop exactly that one. See `environment`."""
    if isinstance(value, bool):
        return ("*",) if value else ()
    if isinstance(value, str):
        return (f"={value}",) if value else ()
    return strings(value)


def env_files(value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (".env",) if value else ()
    return strings(value)


def watch(value: Any) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    return strings(value)


def log_path(value: Any) -> str:
    """`NULL` is PM2's other word for /dev/null."""
    return "/dev/null" if filled(value) in ("NULL", "null") else str(value)


def combined_log(value: Any) -> str | None:
    """True = the default place, which a LogSpec writes as ""; false = none."""
    if isinstance(value, bool):
        return "" if value else None
    return log_path(value)


def log_json(value: Any) -> bool:
    """PM2's `log_type`: only `json` has a meaning."""
    return filled(value) == "json"


def date_format(value: Any) -> str:
    """`true` = PM2's standard form, as with `time`."""
    if isinstance(value, bool):
        return _DATE_TIME if value else ""
    return text(value)


def one_of(*choices: str) -> Reader:
    def read(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise Wrong(f"must be {', '.join(choices[:-1])} or {choices[-1]}, not {units.shown(value)}")

    return read


def anything(value: Any) -> Any:
    return value
