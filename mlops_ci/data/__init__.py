"""Data: which it was, and what is in it. Where it comes from, and whether it is good, is said elsewhere."""

from __future__ import annotations

from mlops_ci.data.fingerprints import fingerprint

__all__ = ["fingerprint"]
