"""
The question whether a version may be deployed: what would change, who may say yes, until when, and what to type.

Pure functions of a `Proposal`. Whatever somebody else wrote, an issue can be edited: nothing in it is ever believed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mlops_ci.entities import MetricChange, ValueChange
from mlops_ci.numerals import count
from mlops_ci.reports import words
from mlops_ci.reports.escape import code, short, text, visible
from mlops_ci.reports.folds import Section, table
from mlops_ci.reports.sections import data_table, params_table

BUDGET_BYTES = 60_000
_MARKER = re.compile(r"<!-- mlops-ci v=1 request=([0-9a-f]{64}) -->", re.ASCII)
_COMPARE = re.compile(
    r"https://[A-Za-z0-9.-]+(:\d+)?/[\w.-]+/[\w.-]+/(compare/[0-9a-f]{7,64}\.\.\.|commit/)[0-9a-f]{7,64}"
)
_RUN = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?/[\w.-]+/[\w.-]+/actions/runs/\d+", re.ASCII)
_SHOWN = 12
_MOST_NAMES = 30
_LONGEST_TITLE = 200
# The first to go is the first here; a command shows the manifests as well.
_LEAST = ("the manifests", "the parameters", "the data", "the other metrics")
End = Literal["deployed", "rejected", "expired", "overtaken"]


@dataclass(frozen=True)
class Serving:
    """What would be replaced: its version and commit, and its image; "" where nobody knows."""

    version: str
    sha: str = ""
    image: str = ""


@dataclass(frozen=True)
class Proposal:
    """
    A deployment that people are asked about.

    Attributes:
        digest: Of the plan: 64 hexadecimal digits.
        serving: What serves now; None for nothing.
        image: By its digest; "" where the target runs none.
        compare_url: GitHub's page of the commits in between, or of the one commit.
        metrics: Of the version against what serves, those of gates first.
        gated: How many of *metrics* have a gate.
        diffs: Unified diffs of the manifests, by path; None where they cannot be compared.
        approvers: Who may approve, as the rule names them; empty for whoever may.
        people: Who may not, because of four eyes, as far as that is known by a login.
        expires: Until when: "2026-11-28 20:15 UTC".
        environment: What GitHub calls the environment that can be reviewed instead, for *run_url*; "" for none.
        notes: Further sentences.
    """

    target: str
    model: str
    version: str
    digest: str
    sha: str
    required: int
    expires: str
    serving: Serving | None = None
    image: str = ""
    compare_url: str = ""
    metrics: Sequence[MetricChange] = ()
    gated: int = 0
    params: Sequence[ValueChange] = ()
    data: Sequence[ValueChange] = ()
    diffs: Mapping[str, str] | None = field(default_factory=dict)
    approvers: Sequence[str] = ()
    people: Sequence[str] = ()
    environment: str = ""
    run_url: str = ""
    notes: Sequence[str] = ()


def request_title(proposal: Proposal) -> str:
    """The question, as plain text: "Deploy churn 1.2.0 to production?"."""
    return visible(f"Deploy {proposal.model} {proposal.version} to {proposal.target}?", _LONGEST_TITLE)


def request_body(proposal: Proposal, *, budget_bytes: int = BUDGET_BYTES) -> str:
    """Return the question as GitHub's Markdown, at most *budget_bytes* (of UTF-8) long, with our marker."""
    end = f"\n\n{request_marker(proposal.digest)}\n"
    room = budget_bytes - len(end.encode())
    core = "\n\n".join([_lead(proposal), _facts(proposal), *_metrics(proposal), *_how(proposal), *_notes(proposal)])
    return _fit(core, list(_folded(proposal)), proposal, room) + end


def request_marker(digest: str) -> str:
    """The hidden line by which the question about the plan *digest* is found again."""
    return f"<!-- mlops-ci v=1 request={digest.removeprefix('sha256:')} -->"


def request_in(body: str) -> str:
    """The digest of the plan that *body* asks about, if its last line is our marker; else ""."""
    found = _MARKER.fullmatch(body.rstrip(" \t\r\n").rpartition("\n")[2])
    return found[1] if found else ""


def request_end(end: End, *, detail: str = "") -> str:
    """The last word on the question, as Markdown; *detail* is a sentence."""
    lead = {
        "deployed": "It is deployed.",
        "rejected": "It is not deployed: somebody rejected it.",
        "expired": "Nobody decided in time. The next deployment asks again.",
        "overtaken": "Something else is served now, so this question is void. The next deployment asks again.",
    }[end]
    return f"**{lead}**" + (f" {_sentence(detail)}" if detail else "")


def _lead(proposal: Proposal) -> str:
    what = f"{code(proposal.model)} {code(proposal.version)}"
    now = f"where {code(proposal.serving.version)} serves now" if proposal.serving else "where nothing serves yet"
    needed = f"It needs {count(proposal.required, 'approval')} until {text(proposal.expires)}."
    return f"{what} waits for {code(proposal.target)}, {now}. {needed}"


def _facts(proposal: Proposal) -> str:
    before = proposal.serving
    rows = [
        ["version", code(before.version) if before else "–", code(proposal.version)],
        ["commit", _commit(before.sha) if before else "–", _commit(proposal.sha)],
        ["image", _image(before.image) if before else "–", _image(proposal.image)],
    ]
    shown = [row for row in rows if set(row[1:]) != {"–"}]
    parts = [table([" ", "serves now", "would be deployed"], shown)]
    if _COMPARE.fullmatch(proposal.compare_url):
        parts.append(f"[What changed in the code]({proposal.compare_url})")
    return "\n\n".join(parts)


def _metrics(proposal: Proposal) -> Iterator[str]:
    shown = proposal.metrics[: proposal.gated]
    if shown:
        yield _table_of(shown, compared=proposal.serving is not None)
    elif not proposal.metrics:
        yield "Nothing is known of the metrics of this version."


def _table_of(changes: Sequence[MetricChange], *, compared: bool) -> str:
    rows = []
    for change in changes:
        shown = words.cells(change, compared=compared)
        rows.append([short(change.metric), shown.baseline, shown.candidate, shown.change])
    if compared:
        return table(["metric", "serves now", "would be deployed", "change"], rows)
    return table(["metric", "would be deployed"], ([row[0], row[2]] for row in rows))


def _how(proposal: Proposal) -> Iterator[str]:
    digest = proposal.digest.removeprefix("sha256:")[:_SHOWN]
    yield f"To approve, comment here, or on any other issue or pull request:\n\n```\n/approve {digest}\n```"
    yield f"To reject:\n\n```\n/reject {digest} because …\n```"
    if proposal.environment and _RUN.fullmatch(proposal.run_url):
        yield f"Or review {code(proposal.environment)} in [the run that asks]({proposal.run_url})."
    yield f"Or, with a key in `.mlops/allowed_signers`: {code(f'mlops-ci approve {digest} --key ~/.ssh/id_ed25519')}"
    yield _who(proposal)


def _who(proposal: Proposal) -> str:
    allowed = _names(proposal.approvers) or "whoever may write to this repository"
    excluded = f", but not by {_names(proposal.people)}, nor by who else had a hand in it" if proposal.people else ""
    plan = f"The approval is for plan {code(proposal.digest.removeprefix('sha256:'))}, and for nothing else"
    return f"It may be approved by {allowed}{excluded}. {plan}: whatever changes of it asks again."


def _names(names: Sequence[str]) -> str:
    shown = [code(name) for name in names[:_MOST_NAMES]]
    more = [f"{len(names) - _MOST_NAMES:,} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*shown, *more])


def _notes(proposal: Proposal) -> Iterator[str]:
    for note in proposal.notes:
        yield f"Note: {_sentence(note)}"


def _folded(proposal: Proposal) -> Iterator[Section]:
    others = proposal.metrics[proposal.gated :]
    if others:
        body = _table_of(others, compared=proposal.serving is not None)
        yield Section("the other metrics", f"Other metrics ({len(others):,})", body)
    if proposal.data:
        body = data_table(proposal.data, ["data", "serves now", "would be deployed"])
        yield Section("the data", "Data that changed", body)
    if proposal.params:
        body = params_table(proposal.params, ["parameter", "serves now", "would be deployed"])
        yield Section("the parameters", f"Parameters that changed ({len(proposal.params):,})", body)
    if proposal.diffs:
        body = "\n\n".join(_diff(path, diff) for path, diff in sorted(proposal.diffs.items()))
        yield Section("the manifests", f"Manifests ({count(len(proposal.diffs), 'file')} changed)", body)


def _diff(path: str, diff: str) -> str:
    """A diff in a code block, in which nothing has an effect: its fence is longer than any within."""
    lines = [_plain(line) for line in diff.splitlines()]
    ticks = max([2, *(len(run) for line in lines for run in re.findall(r"`+", line))])
    fence = "`" * (ticks + 1)
    return "\n".join([code(path), "", f"{fence}diff", *lines, fence])


def _plain(line: str) -> str:
    return "".join(
        "�" if unicodedata.category(sign)[0] == "C" and sign != "\t" else sign for sign in line.replace("\r", "")
    )


def _fit(core: str, found: list[Section], proposal: Proposal, room: int) -> str:
    left_out: list[str] = []
    while True:
        whole = "\n\n".join([core, *map(str, found), *_missing(left_out, proposal)])
        gone = next((name for name in _LEAST if any(one.name == name for one in found)), "")
        if len(whole.encode()) <= room or not gone:
            return whole if len(whole.encode()) <= room else core
        left_out.append(gone)
        found = [one for one in found if one.name != gone]


def _missing(names: Sequence[str], proposal: Proposal) -> list[str]:
    undone = ["the manifests"] if proposal.diffs is None else []
    if not names and not undone:
        return []
    command = f"mlops-ci deploy {proposal.target} --version {proposal.version} --diff"
    said = f"Left out to fit: {', '.join(names)}. " if names else ""
    said += "How the manifests differ is not known here. " if undone else ""
    return [f"{said}{code(command)} shows what would change there."]


def _commit(sha: str) -> str:
    return code(words.short(sha)) if sha else "–"


def _image(image: str) -> str:
    """The image by its digest: the name is the same mostly, and the digest is what is approved."""
    name, mark, digest = image.partition("@sha256:")
    if not image:
        return "–"
    return f"{short(name)} {code(digest[:_SHOWN])}" if mark else short(name)


def _sentence(said: str) -> str:
    shown = text(said)
    return shown if shown.endswith((".", "`.")) else f"{shown}."
