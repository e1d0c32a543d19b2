"""What a type allows, in words."""

from __future__ import annotations

from difflib import get_close_matches

from msgspec import inspect
from yaml import Node, ScalarNode

from mlops_ci.config.shapes import bare

_NOUNS: dict[type, str] = {
    inspect.StrType: "text",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.ListType: "a list",
    inspect.DictType: "a mapping",
    inspect.StructType: "a mapping",
}


def allowed(kind: inspect.Type, found: Node | None = None) -> str:
    """What *kind* allows; *found*, which it does not, may give an example or the nearest choice."""
    if isinstance(kind, inspect.Metadata):
        said = (kind.extra or {}).get("allowed")
        return f"{said}{_quotes(kind.type, found)}" if said else allowed(kind.type, found)
    if isinstance(kind, inspect.UnionType):
        numeric = any(isinstance(bare(one), inspect.IntType | inspect.FloatType) for one in kind.types)
        hinted = None if numeric else found
        return " or ".join(allowed(one, hinted) for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return _choices([str(value) for value in kind.values], found)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return " ".join([_NOUNS[type(kind)], *_bounds(kind)])
    return _NOUNS.get(type(kind), "a value") + _example(kind, found)


def _quotes(kind: inspect.Type, found: Node | None) -> str:
    """Text that YAML reads as a number, such as 3.10, wants quotes."""
    number = isinstance(found, ScalarNode) and found.tag.endswith((":int", ":float"))
    return ", in quotes" if number and isinstance(kind, inspect.StrType) else ""


def _example(kind: inspect.Type, found: Node | None) -> str:
    """How to write *found* so that it is allowed: in quotes, or in brackets."""
    if not isinstance(found, ScalarNode) or not found.value:
        return ""
    if isinstance(kind, inspect.StrType):
        return f', such as "{found.value}"'
    return f", such as [{found.value}]" if isinstance(kind, inspect.ListType) else ""


def _bounds(kind: inspect.IntType | inspect.FloatType) -> list[str]:
    if kind.ge is not None and kind.le is not None:
        return [f"from {kind.ge} to {kind.le}"]
    least = f"of at least {kind.ge}" if kind.ge is not None else f"above {kind.gt}" if kind.gt is not None else ""
    most = f"at most {kind.le}" if kind.le is not None else f"below {kind.lt}" if kind.lt is not None else ""
    return [" and ".join(bound for bound in (least, most) if bound)] if least or most else []


def _choices(values: list[str], found: Node | None) -> str:
    close = get_close_matches(str(found.value), values, n=1) if isinstance(found, ScalarNode) else []
    return " or ".join(values) + (f"; did you mean {close[0]!r}?" if close else "")
