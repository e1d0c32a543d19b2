"""API keys: who may ask for predictions, where the settings demand one."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from serving.errors import Rejected
from serving.manifest import Refusal

VARIABLE = "MLOPS_API_KEYS"
_SHORTEST = 16


class Keys:
    """
    Keys of the environment variable `MLOPS_API_KEYS`, or of the file that `MLOPS_API_KEYS_FILE` names: one a line.

    A file is read again when it changes, so that a key can be exchanged while the service runs.
    """

    def __init__(self) -> None:
        name = os.environ.get(f"{VARIABLE}_FILE")
        self._path = Path(name) if name else None
        self._changed = 0
        self._digests: frozenset[bytes] = frozenset()
        if self._path is None:
            self._read(os.environ.get(VARIABLE, "").replace(",", "\n"))
        else:
            self._read(self._text(self._path))
        if not self._digests:
            raise Refusal(f"API keys are demanded, and neither {VARIABLE} nor {VARIABLE}_FILE has one")

    def demand(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Rejected` unless `X-API-Key` or `Authorization: Bearer` has one of the keys."""
        self._refresh()
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip()
        digest = hashlib.sha256(given).digest()
        # All are compared, so that the time tells nothing.
        if sum(hmac.compare_digest(digest, known) for known in self._digests) != 1:
            raise Rejected(401, "unauthorized", "send a valid key as `X-API-Key` or `Authorization: Bearer`")

    def _refresh(self) -> None:
        """Read a file that has changed; between two versions of a mounted secret, those that were known stay."""
        if self._path is None:
            return
        with suppress(OSError, Refusal):
            if self._path.stat().st_mtime_ns != self._changed:
                self._read(self._text(self._path))

    def _text(self, path: Path) -> str:
        try:
            self._changed = path.stat().st_mtime_ns
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"the file of {VARIABLE}_FILE cannot be read: {error}") from error

    def _read(self, text: str) -> None:
        keys = [line.strip() for line in text.splitlines() if line.strip()]
        if short := next((key for key in keys if len(key) < _SHORTEST), None):
            raise Refusal(f"an API key has {len(short)} characters, and {_SHORTEST} are the least")
        self._digests = frozenset(hashlib.sha256(key.encode()).digest() for key in keys)
