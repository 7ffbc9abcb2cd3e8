"""What Node's IPC channel carries (docs/pm2.md): one JSON value per line, read into typed events; and the lines rota sends.

Decides nothing, touches nothing: bytes in, values out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from rota.process.record import Metric

_encoder = msgspec.json.Encoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()


class SaidReady(msgspec.Struct, frozen=True):
    """`process.send("ready")`: satisfies wait_ready."""


class NodeVersion(msgspec.Struct, frozen=True):
    version: str


class ActionOffered(msgspec.Struct, frozen=True):
    """`axm:action`: `rota trigger` may call it. `action` is what is shown (`axm_actions`)."""

    name: str
    action: dict[str, msgspec.Raw]


class ActionReply(msgspec.Struct, frozen=True):
    """`axm:reply`: the answer to a trigger."""

    name: str
    returned: msgspec.Raw


class MetricsReported(msgspec.Struct, frozen=True):
    """`axm:monitor`, to be merged into what is known."""

    metrics: dict[str, Metric]


class OptionsReported(msgspec.Struct, frozen=True):
    """`axm:option:configuration`, to be merged; `name` renames the record in displays."""

    options: dict[str, msgspec.Raw]
    name: str | None = None


class ExceptionReported(msgspec.Struct, frozen=True):
    """`process:exception`: the app caught one of its own."""

    data: msgspec.Raw


class BusEvent(msgspec.Struct, frozen=True):
    """Any other `{"type": T, "data": D}`."""

    type: str
    data: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))


class Message(msgspec.Struct, frozen=True):
    """Any other value."""

    raw: msgspec.Raw


class NodeInternal(msgspec.Struct, frozen=True):
    """An object whose `cmd` begins with NODE_: Node's own business (cluster workers, handles). Fields undecoded."""

    cmd: str
    fields: dict[str, msgspec.Raw]


NodeEvent: TypeAlias = (
    SaidReady
    | NodeVersion
    | ActionOffered
    | ActionReply
    | MetricsReported
    | OptionsReported
    | ExceptionReported
    | BusEvent
    | Message
    | NodeInternal
)


def interpret(line: bytes) -> NodeEvent | None:
    """The meaning of a line, None for what is no JSON."""
    try:
        if line.lstrip()[:1] == b"{":
            return _interpret_object(_fields.decode(line), line)
        return SaidReady() if _any.decode(line) == "ready" else Message(msgspec.Raw(line.strip()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _interpret_object(fields: dict[str, msgspec.Raw], line: bytes) -> NodeEvent:
    cmd, type_, data = _text(fields.get("cmd")), _text(fields.get("type")), fields.get("data")
    if cmd.startswith("NODE_"):
        return NodeInternal(cmd, fields)
    if "node_version" in fields:
        return NodeVersion(_text(fields["node_version"]))
    if type_ and data is not None:
        return _interpret_typed(type_, data)
    if type_:
        return BusEvent(type_)
    return Message(msgspec.Raw(line.strip()))


def _interpret_typed(type_: str, data: msgspec.Raw) -> NodeEvent:
    inner = _object(data)
    match type_:
        case "axm:action" if name := _text(inner.get("action_name")):
            return ActionOffered(name, inner)
        case "axm:reply" if name := _text(inner.get("action_name")):
            return ActionReply(name, inner.get("return", msgspec.Raw(b"null")))
        case "axm:monitor":
            return MetricsReported({name: metric for name, value in inner.items() if (metric := _metric(value))})
        case "axm:option:configuration":
            return OptionsReported(inner, _text(inner.get("name")) or None)
        case "process:exception":
            return ExceptionReported(data)
        case _:
            return BusEvent(type_, data)


def _metric(raw: msgspec.Raw) -> Metric | None:
    """A metric as an object with a value, or bare; None when its value is no scalar."""
    value: Any = _any.decode(raw)
    described = value if isinstance(value, dict) else {"value": value}
    value, historic = described.get("value"), described.get("historic")
    if not isinstance(value, str | float | int | bool | None):
        return None
    unit, type_ = (text if isinstance(text := described.get(key), str) else "" for key in ("unit", "type"))
    return Metric(value=value, unit=unit, type=type_, historic=historic is not False)


def _text(raw: msgspec.Raw | None) -> str:
    """The string it is, else ""."""
    return str(_any.decode(raw)) if raw is not None and _begins(raw, b'"') else ""


def _object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    return _fields.decode(raw) if _begins(raw, b"{") else {}


def _begins(raw: msgspec.Raw, char: bytes) -> bool:
    """Told by the first byte, without decoding what may be megabytes of something else."""
    return bytes(memoryview(raw)[:1]) == char


# --- what rota says ---------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """A value as a line."""
    return _encoder.encode(value) + b"\n"


def shutdown() -> bytes:
    """The request to end, where a stop is by message."""
    return encode("shutdown")


def trigger(action: str, param: str | None = None, *, name: str | None = None, id: int | None = None) -> bytes:
    """The call of an action: its bare name, or with a parameter and the target as it was named."""
    if param is None:
        return encode(action)
    if id is not None:
        return encode({"msg": action, "opts": param, "id": str(id)})
    return encode({"msg": action, "opts": param, "name": name})


def handle_received() -> bytes:
    """Node waits for this after each descriptor that it sent, and sends it again without."""
    return encode({"cmd": "NODE_HANDLE_ACK"})
