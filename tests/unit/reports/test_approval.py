"""The question whether a version may be deployed, and what strangers could make of it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings

from mlops_ci import reports
from mlops_ci.entities import MetricChange, ValueChange
from mlops_ci.lifecycle.approvals.comment_commands import Command, command_of
from mlops_ci.reports import Proposal, Serving

from .cases import BASE, METRICS, SHA
from .rendered import FOLD, LIVE, html_of, images_of, links_of, outside_code, tables_of, tokens
from .test_strangers import HOSTILE, KINDS

DIGEST = "3f2a91c07d11" + "0" * 52
DIFF = """--- serves now
+++ would be deployed
@@ -8,3 +8,3 @@
   containers:
-  - image: ghcr.io/acme/churn@sha256:aaa
+  - image: ghcr.io/acme/churn@sha256:bbb
"""
FULL = Proposal(
    target="production",
    model="churn",
    version="1.2.0",
    digest=DIGEST,
    sha=SHA,
    required=2,
    expires="2026-11-28 20:15 UTC",
    serving=Serving("1.1.0", BASE, "ghcr.io/acme/churn@sha256:" + "a" * 64),
    image="ghcr.io/acme/churn@sha256:" + "b" * 64,
    compare_url=f"https://github.com/acme/churn/compare/{BASE}...{SHA}",
    metrics=METRICS,
    gated=3,
    params=[
        ValueChange(name="max_depth", baseline=6, candidate=8),
        ValueChange(name="seed", baseline=None, candidate=7),
    ],
    data=[
        ValueChange(name="train.digest", baseline="sha256:" + "1" * 64, candidate="sha256:" + "2" * 64),
        ValueChange(name="train.rows", baseline=120_000, candidate=121_204),
    ],
    diffs={"deployment.yaml": DIFF},
    approvers=["octo-lead", "team:acme/leads"],
    people=["octocat", "monalisa@example.com"],
    environment="production",
    run_url="https://github.com/acme/churn/actions/runs/4711",
    notes=["the base image is 90 days old"],
)
FIRST = Proposal(
    target="production", model="churn", version="1.0.0", digest=DIGEST, sha=SHA, required=1, expires="tomorrow"
)
NOT_KEPT = dataclasses.replace(FULL, diffs=None, approvers=(), people=(), environment="", notes=())


@pytest.mark.parametrize("proposal", [FULL, FIRST, NOT_KEPT], ids=["everything", "the first", "manifests not kept"])
def test_the_question(proposal, snapshot):
    assert f"{reports.request_title(proposal)}\n\n{reports.request_body(proposal)}" == snapshot


@pytest.mark.parametrize("end", ["deployed", "rejected", "expired", "overtaken"])
def test_the_last_word(end, snapshot):
    assert reports.request_end(end, detail="octo-lead rejected it: recall | fell @octo-org/all") == snapshot


def test_what_it_says_to_type_is_what_is_understood():
    typed = [line for line in reports.request_body(FULL).splitlines() if line.startswith("/")]
    assert [command_of(line) for line in typed] == [
        Command("approve", DIGEST[:12]),
        Command("reject", DIGEST[:12], "because …"),
    ]


def test_its_marker_is_found_at_its_end_alone():
    body = reports.request_body(FULL)
    assert reports.request_in(body) == DIGEST
    assert reports.request_in(body.replace("\n", "\r\n")) == DIGEST
    assert reports.request_in(f"{body}\nand more") == ""
    assert reports.request_in("hello") == ""


@pytest.mark.parametrize("lines", [10, 1_000, 30_000])
def test_what_is_too_long_is_left_out_whole_and_told(lines):
    diff = "".join(f"+  line {number}\n" for number in range(lines))
    long = dataclasses.replace(FULL, diffs={"deployment.yaml": diff})
    body = reports.request_body(long)
    assert len(body.encode()) <= 60_000
    assert reports.request_in(body) == DIGEST
    assert body.count("<details>") == body.count("</details>")
    shown = f"line {lines - 1}\n" in body
    assert shown == (lines < 2_000)
    assert ("`mlops-ci deploy production --version 1.2.0 --diff`" in body) != shown


def test_only_pages_of_the_kind_that_we_mean_are_linked():
    lies = dataclasses.replace(FULL, compare_url="javascript:alert(1)", run_url="https://evil.example/actions/runs/1")
    assert links_of(reports.request_body(lies)) == []
    assert links_of(reports.request_body(FULL)) == [FULL.compare_url, FULL.run_url]


@settings(max_examples=120, deadline=None)
@given(evil=HOSTILE)
def test_the_words_of_strangers_have_no_effect(evil):
    value = ValueChange(name=evil, baseline=evil, candidate=evil)
    proposal = Proposal(
        target=evil,
        model=evil,
        version=evil,
        digest=DIGEST,
        sha=evil,
        required=1,
        expires=evil,
        serving=Serving(evil, evil, evil),
        image=evil,
        compare_url=f"https://github.com/a/b/compare/abcdefa...abcdefb){evil}",
        metrics=[
            MetricChange(metric=evil, baseline=1.0, candidate=2.0, change=1.0),
            MetricChange(metric=f"other {evil}", baseline=1.0, candidate=None),
        ],
        gated=1,
        params=[value],
        data=[value],
        diffs={evil: f"+{evil}\n-{evil}", "other": evil},
        approvers=[evil],
        people=[evil],
        environment=evil,
        run_url=f"https://github.com/a/b/actions/runs/1){evil}",
        notes=[evil],
    )
    body = reports.request_body(proposal)
    assert reports.request_in(body) == DIGEST
    assert links_of(body) == []
    assert images_of(body) == []
    assert not KINDS & {token.type for token in tokens(body)}
    assert all(len(set(table)) == 1 for table in tables_of(body))
    assert all(FOLD.fullmatch(piece) or piece.startswith("<!-- mlops-ci v=1 request=") for piece in _pieces(body))
    assert not LIVE.search(re.sub(r"<!-- mlops-ci v=1 request=[0-9a-f]{64} -->", "", outside_code(body)))
    assert "\n" not in reports.request_title(proposal)
    assert not LIVE.search(outside_code(reports.request_end("rejected", detail=evil)))


def _pieces(body):
    return [line for piece in html_of(body) for line in re.split(r"\n(?!<summary>)", piece) if line.strip()]
