"""
Reports: what a verdict looks like to people and to programs. Pure functions of a `GateReport`, or of several.

How the verdict was reached, and where a report is posted, are the business of other rooms.
"""

from mlops_ci.reports.approval import End, Proposal, Serving, request_body, request_end, request_in, request_title
from mlops_ci.reports.checks import Annotation, annotations, conclusion, not_affected, not_trained, worth_a_comment
from mlops_ci.reports.comment import markdown
from mlops_ci.reports.markers import Order, key, key_of, marker, order_in, order_of
from mlops_ci.reports.page import html
from mlops_ci.reports.screen import terminal
from mlops_ci.reports.shape import json
from mlops_ci.reports.words import summary_line

__all__ = [
    "Annotation",
    "End",
    "Order",
    "Proposal",
    "Serving",
    "annotations",
    "conclusion",
    "html",
    "json",
    "key",
    "key_of",
    "markdown",
    "marker",
    "not_affected",
    "not_trained",
    "order_in",
    "order_of",
    "request_body",
    "request_end",
    "request_in",
    "request_title",
    "summary_line",
    "terminal",
    "worth_a_comment",
]
