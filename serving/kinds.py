"""The types that a rendered `service.py` is written in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

# Strict, so that "17.99" or true is refused instead of guessed, and bounded as NumPy's types are.
Boolean = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]


def OneOf(choices: Sequence[Any]) -> AfterValidator:  # noqa: N802  # reads like a type where it is used
    """A value that is one of *choices*, which `Literal` cannot name: numbers that are not whole, lists."""

    def check(value: Any) -> Any:
        if not any(_same(value, choice) for choice in choices):
            raise PydanticCustomError("one_of", "Input should be one of the values that the signature names")
        return value

    return AfterValidator(check)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other) and not (isinstance(one, float) and math.isnan(one))
