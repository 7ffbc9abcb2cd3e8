"""The JSON Schema of rota.toml, from the keys that read it. `python -m rota.ecosystem.schema` prints it."""

from __future__ import annotations

import json
from typing import Any

from rota.ecosystem import native_keys as keys

Schema = dict[str, Any]


def _table(known: tuple[keys.NativeKey, ...], **rules: Any) -> Schema:
    properties = {key.name: {"description": key.doc, **key.schema} for key in known}
    return {"type": "object", "properties": properties, "additionalProperties": False, **rules}


def _named(table: Schema, description: str) -> Schema:
    return {"type": "object", "description": description, "additionalProperties": table}


def _one_of(*names: str) -> list[Schema]:
    return [{"required": [name]} for name in names]


def build() -> Schema:
    """The whole schema."""
    values = {"type": "object", "additionalProperties": keys.SCALAR}
    command = {"oneOf": _one_of("run", "script", "module"), "dependentRequired": {"shell": ["run"]}}
    calls = {"shell": ["run"], "every": ["budget"], "budget": ["every"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rota.toml",
        "description": "Apps that rota keeps running and jobs that it runs on time.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string"},
            "apps": _named({"$ref": "#/$defs/app"}, "Services, by name."),
            "jobs": _named({"$ref": "#/$defs/job"}, "Scheduled work, by name."),
            "budgets": _named({"$ref": "#/$defs/budget"}, "Shared allowances, by name."),
            "rota": {"description": "What holds for the whole file.", **_table(keys.FILE_KEYS)},
        },
        "$defs": {
            "app": _table(keys.APP_KEYS, **command | {"dependentRequired": calls}),
            "job": _table(keys.JOB_KEYS, **command, **{"not": {"required": ["cron", "every"]}}),
            "budget": _table(keys.BUDGET_KEYS, required=["limit", "per"]),
            "env": {"type": "object", "additionalProperties": {"anyOf": [keys.SCALAR, values]}},
            "limits": {"type": "object", "additionalProperties": {"type": ["integer", "string"]}},
            "logs": _table(keys.LOG_KEYS),
            "watch": _table(keys.WATCH_KEYS),
            "retry": _table(keys.RETRY_KEYS),
            "probe": {
                "anyOf": [
                    {"type": "string", "pattern": "^https?://"},
                    _table(keys.PROBE_KEYS, oneOf=_one_of("http", "tcp", "exec", "log")),
                ]
            },
        },
    }


def text() -> str:
    """The schema as docs/schema/rota.schema.json holds it."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
