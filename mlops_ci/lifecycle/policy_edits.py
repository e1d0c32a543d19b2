"""What a change would make of the rules that judge it, value by value. No secret gets into it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mlops_ci.capture import secrets
from mlops_ci.config import Config, Gate
from mlops_ci.entities import Scalar, ValueChange
from mlops_ci.gates.rules import RULES
from mlops_ci.numerals import plain

SECTIONS = ("project", "model", "store", "artifacts", "gates", "on_inconclusive", "registry", "serving", "targets")
"""The keys of the configuration that rule over what is judged, registered and deployed."""

_MOST_CHARACTERS = 120
_WHO = re.compile(r"(?<=://)\S*@")
_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token|key|credential)[^=&\s]*=)[^&\s]+", re.IGNORECASE)

Values = Mapping[str, Any]


def sections(before: Config, after: Config) -> list[str]:
    """Which of `SECTIONS` differ."""
    one, other = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return [key for key in SECTIONS if one.get(key) != other.get(key)]


def edits(before: Config, after: Config) -> list[ValueChange]:
    """Everything in `SECTIONS` that differs, in their order: `targets.production.approval.required`."""
    return changes(_values(before), _values(after))


def changes(before: Values, after: Values) -> list[ValueChange]:
    """What differs between two sets of values by name; None is a value that is absent."""
    return [
        _change(name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def named(section: str, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The *fields* of the row *name* of a *section* that is a list: `waivers[accuracy].ceiling`."""
    return {f"{section}[{name}].{key}": value for key, value in fields.items()}


def _values(config: Config) -> dict[str, Any]:
    whole = msgspec.to_builtins(config)
    values: dict[str, Any] = {}
    for section in SECTIONS:
        values.update(_gates(config.gates) if section == "gates" else _leaves(section, whole.get(section)))
    return values


def _gates(gates: Sequence[Gate]) -> dict[str, Any]:
    """By metric and rule, and not by position: one gate more at the top changes one gate."""
    values: dict[str, Any] = {}
    for gate in gates:
        for rule in RULES:
            limit = getattr(gate, rule)
            if limit is not None:
                said = f"{_text(limit)}, warns only" if gate.on_fail == "warn" else limit
                values[_unused(f"gates[{gate.metric}].{rule}", values)] = said
        if gate.better:
            values[_unused(f"gates[{gate.metric}].better", values)] = gate.better
    return values


def _unused(name: str, values: Values) -> str:
    """*name*, or *name* with a number where two gates set the same rule of one metric."""
    number, found = 1, name
    while found in values:
        number += 1
        found = f"{name} ({number})"
    return found


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            # The file has the options of a target beside what every target has.
            hidden = key == "options" and path.startswith("targets.")
            yield from _leaves(path if hidden else f"{path}.{key}", item)
    elif value is not None:
        yield path, value


def _change(name: str, before: Any, after: Any) -> ValueChange:
    one, other = _shown(name, before), _shown(name, after)
    if one == other:
        other = f"{other} (the difference is not shown)"
    return ValueChange(name=name, baseline=one, candidate=other)


def _shown(name: str, value: Any) -> Scalar:
    """*value* as short text without secrets."""
    if value is None:
        return None
    text = _QUERY.sub(r"\1***", _WHO.sub("***@", _text(value)))
    text = str(secrets.redact({name: text})[name])
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    return "[" + ", ".join(map(_text, value)) + "]" if isinstance(value, list | tuple) else str(value)
