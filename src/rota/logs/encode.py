"""PURE. What a chunk of output looks like in the file: as it came, dated line by line, or one JSON object per line.

Every form works on whole buffers, never line by line in Python: at a gigabyte a second a loop over lines would cost ten
cores. `encode` is given whole lines, or one unfinished piece of a line; `fresh` says that a new line starts here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from rota.logs.dates import TIME_FORMAT, DateFormat, iso_utc

if TYPE_CHECKING:
    from collections.abc import Callable


class Encoder(Protocol):
    """A form of output. `raw` encoders write exactly what came, so their bytes may be spliced."""

    @property
    def raw(self) -> bool: ...

    def encode(self, data: bytes, wall: float, fresh: bool) -> bytes:
        """The bytes to append to the file for `data`, which was seen at `wall` (seconds since the epoch)."""
        ...


class Raw:
    """The bytes as they came."""

    raw: Final = True

    def encode(self, data: bytes, wall: float, fresh: bool) -> bytes:
        return data


class Dated:
    """`<date>: <line>`, the date being when the line was seen."""

    raw: Final = False

    def __init__(self, date: Callable[[float], str]) -> None:
        self._date = date

    def encode(self, data: bytes, wall: float, fresh: bool) -> bytes:
        prefix = f"{self._date(wall)}: ".encode()
        body = data[:-1] if data.endswith(b"\n") else data
        text = body.replace(b"\n", b"\n" + prefix)
        return b"".join((prefix if fresh else b"", text, b"\n" if len(body) < len(data) else b""))


class JsonLines:
    """PM2's `log_type: json`, but one object per line: {"message","timestamp","type","process_id","app_name"}.

    The message keeps its newline, as in PM2; a message without one is the unfinished piece of a line. Bytes that are not
    UTF-8 become U+FFFD.
    """

    raw: Final = False

    # A lone surrogate cannot come out of a UTF-8 decoder and passes the escaper unchanged: the one safe mark for "a line
    # ends here" while a whole buffer is escaped in one call.
    _MARK: Final = "\udfff"
    _COMMON: Final = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\t", b"\\t"), (b"\r", b"\\r"), (b"\x1b", b"\\u001b"))
    _RARE: Final = bytes(set(range(32)) - set(b"\t\n\r\x1b"))

    def __init__(self, kind: str, process_id: int, app_name: str, date: Callable[[float], str] = iso_utc) -> None:
        from json.encoder import encode_basestring, encode_basestring_ascii

        self._kind = kind
        self._date = date
        self._quote, self._quote_ascii = encode_basestring, encode_basestring_ascii
        name = encode_basestring_ascii(app_name)
        self._rest = f',"type":{encode_basestring_ascii(kind)},"process_id":{process_id},"app_name":{name}}}\n'

    def encode(self, data: bytes, wall: float, fresh: bool) -> bytes:
        tail = f'","timestamp":{self._quote_ascii(self._date(wall))}{self._rest}'.encode()
        between = b'\\n%b{"message":"' % tail
        whole = data.endswith(b"\n")
        body = data[:-1] if whole else data
        text = self._escape_common(body, between)
        if text is None:
            text = self._escape_any(body, between)
        return b"".join((b'{"message":"', text, b"\\n" if whole else b"", tail))

    def _escape_common(self, body: bytes, between: bytes) -> bytes | None:
        """Bytes to bytes, six times as fast; None for what needs more care."""
        if len(body.translate(None, self._RARE)) < len(body):
            return None
        if not body.isascii():
            try:
                body.decode()
            except UnicodeDecodeError:
                return None
        for plain, escaped in self._COMMON:
            body = body.replace(plain, escaped)
        return body.replace(b"\n", between)

    def _escape_any(self, body: bytes, between: bytes) -> bytes:
        text = body.decode("utf-8", "replace").replace("\n", self._MARK)
        return self._quote(text)[1:-1].replace(self._MARK, between.decode()).encode()


RAW: Final = Raw()


def encoder(
    *,
    kind: str,
    process_id: int,
    app_name: str,
    log_type: str | None = None,
    log_date_format: str | None = None,
    time: bool = False,
) -> Encoder:
    """The form an app's options ask for. `kind` is `out` or `err`; `time` is `log_date_format: YYYY-MM-DDTHH:mm:ss`."""
    text = log_date_format or (TIME_FORMAT if time else None)
    date = DateFormat(text) if text else None
    if log_type == "json":
        return JsonLines(kind, process_id, app_name, date or iso_utc)
    return Dated(date) if date else RAW
