"""Whether a YAML node has the shape of a type, and whether its value keeps to the type's bounds."""

from __future__ import annotations

import math
import re
from typing import Any

from msgspec import inspect
from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.constructor import ConstructorError

from mlops_ci.config.nodes import value_of

_NODES: dict[type[inspect.Type], type[Node]] = {
    inspect.StructType: MappingNode,
    inspect.DictType: MappingNode,
    inspect.ListType: SequenceNode,
    inspect.LiteralType: ScalarNode,
    inspect.AnyType: Node,
}
_VALUES: dict[type[inspect.Type], tuple[type, ...]] = {
    inspect.StrType: (str,),
    inspect.IntType: (int,),
    inspect.FloatType: (int, float),
    inspect.BoolType: (bool,),
    inspect.NoneType: (type(None),),
}


def bare(kind: inspect.Type) -> inspect.Type:
    """*kind* without what is said about it."""
    return bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def fits(node: Node, kind: inspect.Type) -> bool:
    """Whether *node* has the shape of *kind*, whatever its value is."""
    kind = bare(kind)
    if isinstance(kind, inspect.UnionType):
        return any(fits(node, one) for one in kind.types)
    if type(kind) in _NODES:
        return isinstance(node, _NODES[type(kind)])
    if not isinstance(node, ScalarNode):
        return False
    try:
        value = value_of(node)
    except ConstructorError:
        return True  # whoever reads the value says what is wrong with its tag
    boolean = isinstance(value, bool) and not isinstance(kind, inspect.BoolType)
    return not boolean and isinstance(value, _VALUES[type(kind)])


def holds(value: Any, kind: inspect.Type) -> bool:
    """Whether *value*, of the right shape, keeps to the bounds of *kind*."""
    if isinstance(kind, inspect.LiteralType):
        return any(value == one and type(value) is type(one) for one in kind.values)
    if isinstance(kind, inspect.StrType):
        least, most = kind.min_length or 0, kind.max_length or math.inf
        return least <= len(value) <= most and (kind.pattern is None or _matches(kind.pattern, value))
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return math.isfinite(value) and _within(value, kind)
    return True


def _within(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return not (
        (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
        or (kind.lt is not None and value >= kind.lt)
    )


def _matches(pattern: str, value: str) -> bool:
    # Python's `$` lets a last newline pass, JSON Schema's does not.
    return re.search(re.sub(r"\$$", r"\\Z", pattern), value) is not None
