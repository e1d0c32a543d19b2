"""
What GitHub hands to a workflow as `GITHUB_EVENT_PATH`, shaped after npm's `@octokit/webhooks-examples`.

Each function takes an example, makes it one of the test's repository, and sets the fields that matter. GitHub's
examples have no comment on a pull request: `issue_comment_event` adds the key `pull_request` as GitHub's manual
describes it. They have no schedule at all, since that is no webhook: `schedule_event` is what the runner writes.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.github.emulator import PACKAGES

REPOSITORY = "octocat/churn"
Payload = dict[str, Any]


def pull_request_event(
    *,
    number: int,
    head_sha: str,
    base_sha: str,
    repository: str = REPOSITORY,
    head_branch: str = "feature",
    base_branch: str = "main",
    head_repository: str | None = "",
    merge_sha: str | None = None,
    action: str = "synchronize",
    author: str = "octocat",
    title: str = "a change",
) -> Payload:
    """`pull_request`; *head_repository* is "" for the repository itself, and None for one that is gone."""
    event = _example("pull_request", repository, lambda found: found["action"] == "synchronize")
    pull = event["pull_request"]
    pull |= {"number": number, "title": title, "state": "closed" if action == "closed" else "open"}
    pull |= {"merge_commit_sha": merge_sha, "body": "", "user": {**pull["user"], "login": author}}
    pull["base"] |= {"ref": base_branch, "sha": base_sha}
    pull["head"] |= {"ref": head_branch, "sha": head_sha, "repo": _head(event, repository, head_repository)}
    if action != "synchronize":
        event.pop("before", None)
        event.pop("after", None)
    else:
        event |= {"before": "0" * 40, "after": head_sha}
    return {**event, "action": action, "number": number, "sender": {**event["sender"], "login": author}}


def push_event(
    *,
    after: str,
    before: str = "0" * 40,
    ref: str = "refs/heads/main",
    repository: str = REPOSITORY,
    author: str = "octocat",
    message: str = "a change",
) -> Payload:
    """`push` of a branch or, with a *ref* of "refs/tags/…", of a tag."""
    event = _example("push", repository, lambda found: found["head_commit"] is not None)
    commit = {**event["head_commit"], "id": after, "message": message, "distinct": True}
    created = before == "0" * 40
    facts = {"ref": ref, "before": before, "after": after, "created": created, "deleted": False, "forced": False}
    people = {"pusher": {**event["pusher"], "name": author}, "sender": {**event["sender"], "login": author}}
    return {**event, **facts, **people, "base_ref": None, "commits": [commit], "head_commit": commit}


def release_event(
    *, tag: str, target: str = "main", action: str = "published", repository: str = REPOSITORY, prerelease: bool = False
) -> Payload:
    """`release`."""
    event = _example("release", repository, lambda found: found["action"] == "published")
    event["release"] |= {"tag_name": tag, "target_commitish": target, "draft": False, "prerelease": prerelease}
    return {**event, "action": action}


def workflow_dispatch_event(
    *,
    inputs: Mapping[str, str] | None = None,
    ref: str = "refs/heads/main",
    repository: str = REPOSITORY,
    workflow: str = ".github/workflows/mlops.yml",
) -> Payload:
    """`workflow_dispatch`; without *inputs* GitHub says null."""
    event = _example("workflow_dispatch", repository)
    event.pop("organization", None)
    return {**event, "inputs": dict(inputs) if inputs else None, "ref": ref, "workflow": workflow}


def workflow_run_event(
    *,
    run_id: int,
    head_sha: str,
    head_branch: str = "feature",
    head_repository: str = "",
    event: str = "pull_request",
    conclusion: str | None = "success",
    action: str = "completed",
    name: str = "train",
    repository: str = REPOSITORY,
    pull_requests: Sequence[Mapping[str, Any]] = (),
    author: str = "octocat",
    run_attempt: int = 1,
) -> Payload:
    """`workflow_run`: another workflow of the repository has run; for a fork GitHub names no *pull_requests*."""
    payload = _example("workflow_run", repository, lambda found: found["action"] == "completed")
    payload.pop("organization", None)
    run = payload["workflow_run"]
    place = f"https://api.github.com/repos/{repository}/actions/runs/{run_id}"
    run |= {"id": run_id, "name": name, "event": event, "head_sha": head_sha, "head_branch": head_branch}
    run |= {"conclusion": conclusion, "status": "completed" if action == "completed" else "in_progress"}
    run |= {"pull_requests": [dict(one) for one in pull_requests], "run_attempt": run_attempt, "display_title": name}
    run |= {"url": place, "artifacts_url": f"{place}/artifacts", "path": f".github/workflows/{name}.yml"}
    run["html_url"] = f"https://github.com/{repository}/actions/runs/{run_id}"
    run["head_commit"] = {**run["head_commit"], "id": head_sha}
    run["actor"] = run["triggering_actor"] = {**payload["sender"], "login": author}
    run["head_repository"] = _head(payload, repository, head_repository)
    payload["workflow"] |= {"name": name, "path": run["path"]}
    return {**payload, "action": action, "sender": {**payload["sender"], "login": author}}


def issue_comment_event(
    *,
    number: int,
    body: str,
    author: str = "octocat",
    comment_id: int = 1,
    action: str = "created",
    on_pull_request: bool = True,
    repository: str = REPOSITORY,
    association: str = "NONE",
) -> Payload:
    """`issue_comment`, on a pull request unless *on_pull_request* says no."""
    event = _example("issue_comment", repository, lambda found: found["action"] == "created")
    issue, comment = event["issue"], event["comment"]
    kind = "pull" if on_pull_request else "issues"
    issue |= {
        "number": number,
        "url": f"https://api.github.com/repos/{repository}/issues/{number}",
        "comments_url": f"https://api.github.com/repos/{repository}/issues/{number}/comments",
        "html_url": f"https://github.com/{repository}/{kind}/{number}",
    }
    issue.pop("pull_request", None)
    if on_pull_request:
        web = f"https://github.com/{repository}/pull/{number}"
        issue["pull_request"] = {
            "url": f"https://api.github.com/repos/{repository}/pulls/{number}",
            "html_url": web,
            "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch",
            "merged_at": None,
        }
    comment |= {
        "id": comment_id,
        "body": body,
        "author_association": association,
        "url": f"https://api.github.com/repos/{repository}/issues/comments/{comment_id}",
        "issue_url": issue["url"],
        "html_url": f"{issue['html_url']}#issuecomment-{comment_id}",
        "user": {**comment["user"], "login": author},
    }
    return {**event, "action": action, "sender": {**event["sender"], "login": author}}


def schedule_event(*, cron: str = "0 3 * * *", repository: str = REPOSITORY) -> Payload:
    """`schedule`: the runner says which one, and whose."""
    event = _example("workflow_dispatch", repository)
    return {"schedule": cron, "workflow": ".github/workflows/mlops.yml", "repository": event["repository"]}


def merge_group_event(
    *,
    head_sha: str,
    base_sha: str,
    number: int = 1,
    base_branch: str = "main",
    repository: str = REPOSITORY,
    action: str = "checks_requested",
) -> Payload:
    """`merge_group`: the queue wants to know whether pull request *number* may enter *base_branch*."""
    event = _example("merge_group", repository)
    for name in ("organization", "installation"):
        event.pop(name, None)
    group = event["merge_group"]
    group |= {"head_sha": head_sha, "base_sha": base_sha, "base_ref": f"refs/heads/{base_branch}"}
    group["head_ref"] = f"refs/heads/gh-readonly-queue/{base_branch}/pr-{number}-{base_sha}"
    group["head_commit"] = {**group["head_commit"], "id": head_sha}
    return {**event, "action": action}


@functools.cache
def _examples() -> dict[str, list[Payload]]:
    found = json.loads((PACKAGES / "@octokit/webhooks-examples/api.github.com/index.json").read_text("utf-8"))
    return {entry["name"]: entry["examples"] for entry in found}


def _example(name: str, repository: str, fits: Callable[[Payload], bool] | None = None) -> Payload:
    """The first example of *name* that *fits*, moved to *repository*."""
    place = next(n for n, one in enumerate(_examples()[name]) if fits is None or fits(one))
    return copy.deepcopy(_moved(name, place, repository))


@functools.cache
def _moved(name: str, place: int, repository: str) -> Payload:
    example = _examples()[name][place]
    was = example["repository"]["full_name"]
    text = re.sub(re.escape(was) + r'(?=[/"#.{])', lambda _: json.dumps(repository)[1:-1], json.dumps(example))
    made: Payload = json.loads(text)
    made["repository"] = _named(made["repository"], repository)
    return made


def _named(told: Payload, full_name: str) -> Payload:
    owner, _, name = full_name.partition("/")
    told = {**told, "full_name": full_name, "name": name, "default_branch": "main", "fork": False}
    return {**told, "owner": {**told["owner"], "login": owner}}


def _head(event: Payload, repository: str, head: str | None) -> Payload | None:
    if head is None:
        return None
    text = json.dumps(event["repository"]).replace(repository, head or repository)
    fork = bool(head) and head != repository
    told = _named(json.loads(text), head or repository)
    return {**told, "fork": fork, "id": told["id"] + 500 * fork}
