"""What every noun is: frozen, named by keywords, and written without what is as usual."""

from __future__ import annotations

import msgspec


class Noun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A noun."""
