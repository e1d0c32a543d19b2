"""The types that a rendered `service.py` is written in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# Strict, so that "17.99" or true is refused instead of guessed, and bounded as NumPy's types are.
Boolean = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]
