"""
Reports: what a verdict looks like to people and to programs. Pure functions of a `GateReport`.

How the verdict was reached, and where a report is posted, are the business of other rooms.
"""

from __future__ import annotations

from mlops_ci.reports.comment import markdown, marker
from mlops_ci.reports.page import html
from mlops_ci.reports.screen import terminal
from mlops_ci.reports.shape import json
from mlops_ci.reports.words import summary_line

__all__ = ["html", "json", "markdown", "marker", "summary_line", "terminal"]
