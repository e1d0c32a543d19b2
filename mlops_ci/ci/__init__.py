"""
Which CI this is, what happened there, and how to answer it: outputs, annotations, summaries.

Reads the environment and the event's payload; talks to nobody.
"""

from __future__ import annotations

from mlops_ci.ci.answers import Outputs, annotation, write_summary
from mlops_ci.ci.event import Event, EventKind, Remark, Upstream
from mlops_ci.ci.payload import detect

__all__ = ["Event", "EventKind", "Outputs", "Remark", "Upstream", "annotation", "detect", "write_summary"]
