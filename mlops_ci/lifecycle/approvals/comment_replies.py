"""What is replied to a comment, in Markdown; nothing that somebody wrote has an effect in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_ci import config as configuration
from mlops_ci import quoting, records
from mlops_ci.config import ApprovalRule, Config
from mlops_ci.entities import Approval, Plan
from mlops_ci.errors import MlopsCIError, UsageError
from mlops_ci.lifecycle.approvals.approve import Standing
from mlops_ci.lifecycle.policy import WAIVERS
from mlops_ci.numerals import count
from mlops_ci.reports import escape

if TYPE_CHECKING:
    from mlops_ci.github.comments import Comment

_WAIVED_DAYS = 30
_MOST_SENTENCES = 10


@dataclass(frozen=True)
class Reply:
    """
    A reply.

    Attributes:
        sentence: What it comes to, as plain text on one line.
        body: Markdown, without a marker.
        taken: Whether the comment did what it was to do.
    """

    sentence: str
    body: str
    taken: bool


def refused(error: MlopsCIError) -> Reply:
    """Why a comment does not count, and what can be done."""
    parts = ["**This does not count.**", f"Because: {_sentence(str(error))}"]
    parts += [f"What to do: {_sentence(error.hint)}"] if error.hint else []
    return Reply(f"the comment does not count: {escape.sentence(error)}", "\n\n".join(parts), taken=False)


def counted(
    decision: Approval, plan: Plan, stand: Standing, rule: ApprovalRule, *, tag: str, expires: datetime
) -> Reply:
    """What was decided, where the plan stands, and what comes next."""
    digest = decision.plan_digest.removeprefix("sha256:")[:12]
    verb = "rejected" if decision.decision == "reject" else "approved"
    what = f"{plan.model} {plan.version} for {plan.target}"
    have = f"{len(stand.counted)} of {count(rule.required, 'approval')}"
    lead = f"{escape.code(decision.approver)} **{verb}** {_named(plan)}, plan {escape.code(digest)}: {have}."
    body = [lead, " ".join(_next(plan, stand, rule, tag=tag, expires=expires))]
    others = stand.discounted[:_MOST_SENTENCES]
    if others:
        body.append("\n".join(["What was not counted:", "", *(f"- Because {_sentence(why)}" for why in others)]))
    return Reply(escape.sentence(f"{decision.approver} {verb} {what}: {have}"), "\n\n".join(body), taken=True)


def waiver_row(config: Config, comment: Comment, rest: str) -> Reply:
    """
    The row that would waive what *rest* names: a comment cannot, since a waiver is a reviewed row.

    Raises:
        UsageError: It names no metric that a gate has, no number, or no reason.
    """
    metric, ceiling, reason = _waiver(config, rest)
    today = records.moment(records.now()).date()
    row: dict[str, object] = {
        "metric": metric,
        "ceiling": ceiling,
        "owner": comment.author,
        "reason": reason,
        "expires": (today + timedelta(days=_WAIVED_DAYS)).isoformat(),
        "project": config.project,
    }
    place = comment.url.partition("#")[0]
    row |= {"issue": place} if re.fullmatch(r"https?://[^\s`]{1,480}", place) else {}
    lines = [f"{'  - ' if not number else '    '}{key}: {quoting.yaml(row[key])}" for number, key in enumerate(row)]
    text = "\n".join(["waivers:", *lines])
    configuration.parse_waivers(text, "the waiver")
    fence = "`" * (max([2, *(len(ticks) for ticks in re.findall(r"`+", text))]) + 1)
    lead = (
        f"A comment waives nothing: a waiver is a row of {escape.code(WAIVERS)} on the branch that the change is to"
        " enter, and comes there by a pull request that is reviewed. This is the row:"
    )
    end = f"It counts down to its ceiling and until {row['expires']}; rows that are there already stay beside it."
    body = [lead, f"{fence}yaml\n{text}\n{fence}", end]
    return Reply(f"a waiver of {escape.visible(metric)} is a row of {WAIVERS}", "\n\n".join(body), taken=True)


def _next(plan: Plan, stand: Standing, rule: ApprovalRule, *, tag: str, expires: datetime) -> Iterator[str]:
    lacking = rule.required - len(stand.counted)
    if stand.rejected:
        yield f"It is not deployed: {_sentence(stand.rejected)}"
        yield "A rejection stands as long as it is asked for; another version, or another rule, is another plan."
    elif lacking > 0:
        yield f"{count(lacking, 'more approval')} {'is' if lacking == 1 else 'are'} needed"
        yield f"until {expires:%Y-%m-%d %H:%M} UTC."
    else:
        yield f"That is all it needs. {escape.code(f'mlops-ci deploy {plan.target}')} deploys it"
        yield (
            f"now, or the workflow {escape.code('mlops')} when it is run with the tag {escape.code(tag)}."
            if tag
            else "now."
        )
        yield "GitHub is asked for the comments again then, so they have to stay as they are."
        if rule.four_eyes:
            yield "Whoever starts that does not count among those who approved."


def _named(plan: Plan) -> str:
    return f"{escape.code(plan.model)} {escape.code(plan.version)} for {escape.code(plan.target)}"


def _sentence(text: str) -> str:
    shown = escape.text(text)
    return shown if shown.endswith((".", "`.")) else f"{shown}."


def _waiver(config: Config, rest: str) -> tuple[str, float, str]:
    gated = list(dict.fromkeys(gate.metric for gate in config.gates))
    words = escape.visible(rest, 1_000)
    hint = "write `/waive METRIC CEILING REASON`: the ceiling is the worst value that is accepted"
    # Metrics may have spaces in them: the longest that fits is meant.
    metric = max(
        (name for name in gated if f"{words} ".startswith(f"{escape.visible(name, 250)} ")), key=len, default=""
    )
    if not metric:
        known = ", ".join(gated[:20]) or "none"
        raise UsageError(f"no gate has the metric that {words or 'nothing'} begins with; gates have {known}", hint=hint)
    number, _, reason = words[len(escape.visible(metric, 250)) :].strip().partition(" ")
    try:
        ceiling = float(number)
    except ValueError:
        ceiling = math.nan
    if not math.isfinite(ceiling):
        raise UsageError(f"the waiver of {metric} names no ceiling", hint=hint)
    if not reason.strip():
        raise UsageError(f"the waiver of {metric} gives no reason", hint=hint)
    return metric, ceiling, reason.strip()[:500].strip()
