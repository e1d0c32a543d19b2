"""Why the scheduler finds no node for a pod, in words. Pure."""

from __future__ import annotations

import re

from mlops_ci.targets.kubernetes.objects import Object


def explain(message: str, pod: Object) -> str:
    """The sentence of *message*, "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) …", about *pod*, in words."""
    found = re.match(r"0/(\d+) nodes are available: (.*)", message, re.DOTALL)
    if not found:
        return " ".join(message.split())
    parts = found[2].partition(" preemption: ")[0].strip().removesuffix(".")
    # A comma may stand in a taint; a new part begins with a number.
    reasons = re.split(r", (?=\d+ )", parts)
    if found[1] == "1":
        return f"the only node {_reason(reasons[0], pod).removeprefix('1 ')}"
    return f"of {found[1]} nodes, {', '.join(_reason(each, pod) for each in reasons)}"


def _reason(part: str, pod: Object) -> str:
    number, _, what = part.partition(" ")
    what = what.removeprefix("node(s) ")
    one = number == "1"
    if short := re.fullmatch(r"Insufficient (\S+)", what):
        return f"{number} {'has' if one else 'have'} too little {short[1]} left{_asked(pod, short[1])}"
    if taint := re.search(r"taint[^{]*\{([^:}]+): ?([^}]*)\}", what):
        value = f"={taint[2]}" if taint[2] else ""
        return f"{number} {'has' if one else 'have'} the taint {taint[1]}{value}, which the pod does not tolerate"
    if "node affinity" in what or "node selector" in what:
        return f"{number} {'does' if one else 'do'} not match the node selector or affinity"
    if what == "were unschedulable":
        return f"{number} {'is' if one else 'are'} cordoned"
    return f"{number} {what}"


def _asked(pod: Object, resource: str) -> str:
    """What the pod asks for of *resource*, in brackets."""
    each = [(one.get("resources") or {}).get("requests", {}).get(resource) for one in pod["spec"]["containers"]]
    asked = [str(one) for one in each if one]
    return f" (asked for: {' + '.join(asked)})" if asked else ""
