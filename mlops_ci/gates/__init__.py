"""
Gates: whether a candidate may replace its baseline, and why. Pure functions over runs.

Which configuration rules, and how a verdict is shown, are the business of other rooms.
"""

from __future__ import annotations

from mlops_ci.gates.directions import direction_of
from mlops_ci.gates.evaluation import evaluate
from mlops_ci.gates.gate import Gate
from mlops_ci.gates.verdict import blocks, exit_code
from mlops_ci.gates.waivers import Waivers

__all__ = ["Gate", "Waivers", "blocks", "direction_of", "evaluate", "exit_code"]
