"""Which event started us, read from GitHub's environment; and how we answer it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import ci
from mlops_ci.errors import UsageError

PULL_REQUEST = {
    "pull_request": {"number": 7, "head": {"sha": "h" * 40, "ref": "better"}, "base": {"sha": "b" * 40, "ref": "main"}},
    "repository": {"default_branch": "main"},
}


def environment(tmp_path: Path, payload: Any, **variables: str) -> dict[str, str]:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(payload))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_REPOSITORY": "octo/churn",
        "GITHUB_RUN_ID": "12",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_ACTOR": "octocat",
        **variables,
    }


def test_outside_ci_there_is_no_event() -> None:
    assert ci.detect({}) is None


def test_a_pull_request_names_its_head_its_base_and_its_number(tmp_path: Path) -> None:
    env = environment(tmp_path, PULL_REQUEST, GITHUB_EVENT_NAME="pull_request", GITHUB_REF="refs/pull/7/merge")
    event = ci.detect(env)
    assert event is not None
    assert (event.kind, event.head_sha, event.base_sha, event.branch) == ("pull_request", "h" * 40, "b" * 40, "better")
    assert (event.run.pull_request, event.run.attempt, event.tag) == (7, 2, "")
    assert event.run.run_url == "https://github.com/octo/churn/actions/runs/12"


@pytest.mark.parametrize(
    ("name", "reference", "kind", "branch", "tag"),
    [
        ("push", "refs/heads/main", "push", "main", ""),
        ("push", "refs/heads/feature/x", "push", "feature/x", ""),
        ("push", "refs/tags/churn@v1.2.3", "tag", "", "churn@v1.2.3"),
        ("release", "refs/tags/v1.2.3", "tag", "", "v1.2.3"),
        ("schedule", "refs/heads/main", "schedule", "main", ""),
        ("workflow_dispatch", "refs/heads/main", "dispatch", "main", ""),
        ("pull_request_target", "refs/heads/main", "other", "main", ""),
    ],
)
def test_other_events(tmp_path: Path, name: str, reference: str, kind: str, branch: str, tag: str) -> None:
    event = ci.detect(environment(tmp_path, {}, GITHUB_EVENT_NAME=name, GITHUB_REF=reference))
    assert event is not None
    assert (event.kind, event.branch, event.tag) == (kind, branch, tag)


def test_whoever_started_a_rerun_is_the_author(tmp_path: Path) -> None:
    event = ci.detect(environment(tmp_path, {}, GITHUB_EVENT_NAME="push", GITHUB_TRIGGERING_ACTOR="hubot"))
    assert event is not None
    assert event.author.name == "hubot"


@pytest.mark.parametrize("text", ["not json", "[]"])
def test_a_payload_that_cannot_be_read_is_one_sentence(tmp_path: Path, text: str) -> None:
    env = environment(tmp_path, {})
    Path(env["GITHUB_EVENT_PATH"]).write_text(text)
    with pytest.raises(UsageError, match="the event's payload"):
        ci.detect(env)


def test_an_output_cannot_plant_another(tmp_path: Path) -> None:
    path = tmp_path / "output"
    ci.Outputs({"report": "one\nend\nverdict<<end\npass\nend", "verdict": "fail"}).write({"GITHUB_OUTPUT": str(path)})
    assert read_outputs(path) == {"report": "one\nend\nverdict<<end\npass\nend", "verdict": "fail"}


def test_an_annotation_is_one_line_whatever_it_says() -> None:
    assert ci.annotation("error", "a\n::set-output name=x::y\r%", title="t:1,2") == (
        "::error title=t%3A1%2C2::a%0A::set-output name=x::y%0D%25"
    )


def read_outputs(path: Path) -> dict[str, str]:
    """Read the file as the runner does: `name<<delimiter`, lines, delimiter."""
    values, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        values[name] = "\n".join(value)
    return values
