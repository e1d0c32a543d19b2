"""The JSON Schema of `mlops.yaml`, made of the structs, so that editors complete and check it."""

from __future__ import annotations

from typing import Any

import msgspec

from mlops_ci.config.options import GENERAL_KEYS, KINDS, options_of
from mlops_ci.config.structs import Config, Target

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema; a target is described for each kind, with the options of that kind."""
    kinds = {kind: options_of(kind) for kind in KINDS}
    roots = [Config, Target, *kinds.values()]
    (root, target, *options), definitions = msgspec.json.schema_components(roots, ref_template="#/$defs/{name}")
    general = _defined(target, definitions)
    described = {
        kind: _target(kind, general, _defined(schema, definitions)) for kind, schema in zip(kinds, options, strict=True)
    }
    for schema in (root, target, *options):
        del definitions[_name(schema)]
    definitions[_name(target)] = _choice(general, described)
    definitions = dict(sorted(definitions.items()))
    whole = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")[1][_name(root)]
    found: dict[str, Any] = _plain({"$schema": _DRAFT, **whole, "title": "mlops.yaml", "$defs": definitions})
    return found


def _target(kind: str, general: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    properties = {key: general["properties"][key] for key in GENERAL_KEYS}
    properties["kind"] = {**properties["kind"], "const": kind}
    # What it is by default depends on the target's name.
    properties["production"] = {key: value for key, value in properties["production"].items() if key != "default"}
    return {
        "description": options.get("description", ""),
        "properties": {**options["properties"], **properties},
        "required": ["kind", *options.get("required", [])],
        "additionalProperties": False,
    }


def _choice(general: dict[str, Any], described: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One branch for each kind: an editor then complains about the kind that was meant, and not about all."""
    return {
        "title": general["title"],
        "description": general["description"],
        "type": "object",
        "properties": {"kind": {**general["properties"]["kind"], "enum": list(described)}},
        "required": ["kind"],
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": schema}
            for kind, schema in described.items()
        ],
    }


def _plain(value: Any) -> Any:
    """*value* without the defaults that stand for something else: "" for the project's name, say."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if (key, item) != ("default", "")}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _defined(reference: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definitions[_name(reference)]
    return found
