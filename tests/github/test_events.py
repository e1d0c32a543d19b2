"""The events that tests hand to a workflow are those of GitHub's examples, moved to the test's repository."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.github import events

HEAD, BASE = "a" * 40, "b" * 40
EVENTS: list[tuple[str, events.Payload, dict[str, Any]]] = [
    (
        "pull_request",
        events.pull_request_event(number=7, head_sha=HEAD, base_sha=BASE, head_repository="mallory/churn"),
        {"number": 7, "pull_request.head.sha": HEAD, "pull_request.head.repo.full_name": "mallory/churn"},
    ),
    (
        "push",
        events.push_event(after=HEAD, before=BASE, ref="refs/tags/v1"),
        {"ref": "refs/tags/v1", "after": HEAD, "created": False, "head_commit.id": HEAD},
    ),
    ("release", events.release_event(tag="churn@v1"), {"action": "published", "release.tag_name": "churn@v1"}),
    ("workflow_dispatch", events.workflow_dispatch_event(inputs={"tag": "v1"}), {"inputs.tag": "v1"}),
    (
        "workflow_run",
        events.workflow_run_event(run_id=5, head_sha=HEAD, head_repository="mallory/churn"),
        {
            "workflow_run.id": 5,
            "workflow_run.head_repository.full_name": "mallory/churn",
            "workflow_run.head_sha": HEAD,
        },
    ),
    (
        "issue_comment",
        events.issue_comment_event(number=7, body="/approve", author="octo-lead"),
        {"issue.number": 7, "comment.body": "/approve", "comment.user.login": "octo-lead"},
    ),
    ("schedule", events.schedule_event(cron="0 1 * * *"), {"schedule": "0 1 * * *"}),
    (
        "merge_group",
        events.merge_group_event(head_sha=HEAD, base_sha=BASE, number=7),
        {"merge_group.head_sha": HEAD, "merge_group.base_ref": "refs/heads/main"},
    ),
]


@pytest.mark.parametrize(("name", "payload", "facts"), EVENTS, ids=[name for name, *_ in EVENTS])
def test_events_are_of_the_tests_repository(name: str, payload: events.Payload, facts: dict[str, Any]) -> None:
    """With the fields that matter as they were asked for, and nothing left of the example's repository."""
    for path, value in facts.items():
        found: Any = payload
        for part in path.split("."):
            found = found[part]
        assert found == value, (name, path)
    assert payload["repository"]["full_name"] == "octocat/churn"
    assert payload["repository"]["default_branch"] == "main"
    assert "/Hello-World" not in json.dumps(payload)
