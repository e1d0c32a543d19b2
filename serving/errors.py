"""What a caller is told when there is no prediction: a status, one sentence, and the places in the request."""

from __future__ import annotations

from typing import Any


class Rejected(Exception):
    """
    A request that gets no prediction.

    Attributes:
        status: The HTTP status.
        reason: One word for the metrics.
        detail: Places in the request: `{"loc": [...], "msg": ...}` each.
        close: Whether the connection ends, for what was sent is not read to its end.
        retry_after_s: When it is worth another try; 0 if that is not known.
    """

    def __init__(  # everything that a caller can be told
        self,
        status: int,
        reason: str,
        sentence: str,
        *,
        detail: list[dict[str, Any]] | None = None,
        close: bool = False,
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.detail = detail or []
        self.close = close
        self.retry_after_s = retry_after_s


def invalid(sentence: str, *loc: str | int) -> Rejected:
    """The caller's mistake, at the place *loc* in what was sent."""
    return Rejected(400, "invalid", sentence, detail=[{"loc": list(loc), "msg": sentence}] if loc else [])
