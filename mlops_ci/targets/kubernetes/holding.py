"""
Whether a cluster holds what was ordered, field by field, where it may add to it and write it another way.

What Kubernetes' own schema says of lists is here in short: some are keyed, and others may add items to them; the rest
is one value. Pure: what is there has been read by somebody else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from mlops_ci.targets.kubernetes.objects import Object

# The keys of an associative list's items, the first that all of its items have; a protocol is TCP if nothing is said.
_KEYS: dict[str, list[tuple[str, ...]]] = {
    "containers": [("name",)],
    "env": [("name",)],
    "ephemeralContainers": [("name",)],
    "hostAliases": [("ip",)],
    "imagePullSecrets": [("name",)],
    "initContainers": [("name",)],
    "ports": [("containerPort", "protocol"), ("port", "protocol")],
    "topologySpreadConstraints": [("topologyKey", "whenUnsatisfiable")],
    "volumeDevices": [("devicePath",)],
    "volumeMounts": [("mountPath",)],
    "volumes": [("name",)],
}
# An autoscaler's metrics come back in another order from a server that keeps an older version of them.
_SETS = {"finalizers", "metrics"}
# Whatever is added to a selector changes what it selects.
_SELECTORS = {"labelSelector", "matchLabels", "namespaceSelector", "nodeSelector", "podSelector", "selector"}
_OF_QUANTITIES = {"limits", "requests", "capacity", "hard"}
_QUANTITIES = {"averageValue", "divisor", "sizeLimit"}
# What these are where nobody says is not 0.
_NOT_ZERO = {"maxSurge", "maxUnavailable", "minAvailable", "replicas", "terminationGracePeriodSeconds"}
# False is what they are when they are not there; of other fields nobody knows it.
_FALSE = {
    *("hostIPC", "hostNetwork", "hostPID", "paused", "publishNotReadyAddresses", "readOnly"),
    *("stdin", "stdinOnce", "tty"),
}
# Mappings with keys of their own, where an empty text is a value like others.
_FREE = {"annotations", "binaryData", "data", "labels", "matchLabels"}
_SERVERS_OWN = {"apiVersion", "status"}


def missing(ordered: Object, held: Object) -> list[str]:
    """
    Find the fields of *ordered* that *held* does not have, or has with another value.

    A field that is not there with all below it is named once. What is there and was not ordered does not count, but in
    a selector and in a list without keys. Empty values are held where they are absent, as a server leaves them out.
    """
    found: list[str] = []
    written = _as_written(ordered)
    for key in written.keys() - _SERVERS_OWN:
        found += _field(written, held, key, key)
    return sorted(found)


def _as_written(ordered: Object) -> Object:
    """What becomes of a Secret's `stringData`."""
    if ordered.get("kind") != "Secret" or not ordered.get("stringData"):
        return ordered
    coded = {key: base64.b64encode(text.encode()).decode() for key, text in ordered["stringData"].items()}
    rest = {key: value for key, value in ordered.items() if key != "stringData"}
    return {**rest, "data": {**(ordered.get("data") or {}), **coded}}


def _field(ordered: Object, held: Object, key: str, path: str, parent: str = "") -> Iterator[str]:
    """The paths below the field *key* of the mapping *ordered*; *parent* is the key of that mapping."""
    wanted = ordered[key]
    if key not in held or held[key] is None:
        if not _left_out(wanted, key) or (parent in _FREE and wanted is not None):
            yield path
    else:
        yield from _value(wanted, held[key], key, path, parent)


def _value(wanted: Any, has: Any, key: str, path: str, parent: str = "") -> Iterator[str]:
    if wanted is None:
        return
    if isinstance(wanted, dict) and isinstance(has, dict):
        if key in _SELECTORS and _filled(has) - _filled(wanted):
            yield path
            return
        for name in wanted:
            yield from _field(wanted, has, name, f"{path}.{name}", key)
    elif isinstance(wanted, list) and isinstance(has, list):
        yield from _list(wanted, has, key, path)
    elif not _same(wanted, has) and not (_is_quantity(key, parent) and _same_quantity(wanted, has)):
        yield path


def _list(wanted: list[Any], has: list[Any], key: str, path: str) -> Iterator[str]:
    # The ports of a NetworkPolicy's rule have no keys: whoever adds one opens another door.
    keyed = key in _KEYS and ".ingress[" not in path and ".egress[" not in path
    names = _keys_of(wanted, key) if keyed else ()
    if names:
        for item in wanted:
            label = _label(item, names)
            there = next((each for each in has if isinstance(each, dict) and _label(each, names) == label), None)
            if there is None:
                yield path + label
            else:
                yield from _value(item, there, "", path + label)
    else:
        for index, item in enumerate(wanted):
            place = f"{path}[{index}]"
            if key in _SETS and any(_holds(item, each) for each in has):
                continue
            if index < len(has):
                yield from _value(item, has[index], "", place)
            else:
                yield place
        if len(has) > len(wanted) and not keyed and key not in _SETS:
            yield path


def _holds(item: Any, each: Any) -> bool:
    return next(_value(item, each, "", ""), None) is None


def _keys_of(items: list[Any], key: str) -> tuple[str, ...]:
    """The keys by which *items* of the list *key* are told from each other; none where it is their place."""
    for names in _KEYS.get(key, []):
        if items and all(isinstance(item, dict) and names[0] in item for item in items):
            labels = {_label(item, names) for item in items}
            return names if len(labels) == len(items) else ()
    return ()


def _label(item: Object, names: tuple[str, ...]) -> str:
    """As the API writes it in paths: `[name="service"]`."""
    values = [(name, item.get(name, "TCP" if name == "protocol" else None)) for name in names]
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in values) + "]"


def _left_out(value: Any, key: str) -> bool:
    """Whether a server may leave out *value* without losing anything."""
    if isinstance(value, dict):
        return all(_left_out(each, name) for name, each in value.items())
    if isinstance(value, bool):
        return not value and key in _FALSE
    return not value and key not in _NOT_ZERO


def _filled(value: Object) -> set[str]:
    return {key for key, each in value.items() if not _left_out(each, key)}


def _same(wanted: Any, has: Any) -> bool:
    """Numbers are equal as numbers; nothing else is equal to something of another type."""
    if isinstance(wanted, bool) or isinstance(has, bool):
        return wanted is has
    numbers = isinstance(wanted, int | float) and isinstance(has, int | float)
    return (numbers or type(wanted) is type(has)) and bool(wanted == has)


def _is_quantity(key: str, parent: str) -> bool:
    return parent in _OF_QUANTITIES or key in _QUANTITIES or (parent, key) == ("target", "value")


def _same_quantity(wanted: Any, has: Any) -> bool:
    from kubernetes.utils.quantity import parse_quantity  # noqa: PLC0415  # half a second that only a cluster costs

    try:
        return bool(parse_quantity(str(wanted)) == parse_quantity(str(has)))
    except ValueError:
        return False
