"""
What the emulator holds, told as GitHub tells it: pull requests, issues, comments, check runs and branches.

The emulator is asked and keeps the state. Ours is only what it gets wrong or cannot hold: the commits of a pull
request (they are in a bare repository that it does not know), a pull request as an issue, annotations and their number
(it drops titles, and replaces what GitHub appends), check runs of a commit that it does not know, the App of a check
run, limits of size, and the protection of a branch.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.github.emulator import ACTIONS
from tests.github.messages import Reply, Request, page
from tests.github.world import WEB, Answering, Pull, Routes, World, invalid, node_id, not_found, now

ROUTES = Routes()
_MOST_CHARACTERS = 65_536
_ACTIONS_APP = 15368


@ROUTES.add("GET", "/user")
def _user(asked: Answering) -> Reply:
    return asked.forward()


@ROUTES.add("GET", "{repo}")
def _repository(asked: Answering) -> Reply:
    reply = asked.forward()
    return Reply(200, {**reply.body, "network_count": 0, "subscribers_count": 0}) if reply.status == 200 else reply


@ROUTES.add("GET", "/orgs/{org}/teams/{slug}")
def _team(asked: Answering) -> Reply:
    reply = asked.forward()
    return Reply(200, team_as_told(asked.world, asked.found["org"], reply.body)) if reply.status == 200 else reply


def team_as_told(world: World, organisation: str, told: dict[str, Any]) -> dict[str, Any]:
    """The emulator's team with what it leaves out."""
    owner = world.do("GET", f"/orgs/{organisation}")
    times = {name: owner[name] for name in ("created_at", "updated_at")}
    members = len(world.do("GET", f"/orgs/{organisation}/teams/{told['slug']}/members?per_page=100"))
    counts = {"members_count": members, "repos_count": 0}
    whole = {name: value for name, value in owner.items() if value is not None}
    whole |= {"archived_at": None, "description": owner["description"]}
    return {**told, **times, **counts, "parent": None, "type": "organization", "organization": whole}


@ROUTES.add("GET", "{repo}/pulls/{number}")
def _pull(asked: Answering) -> Reply:
    reply = asked.forward()
    return Reply(reply.status, pull_as_told(asked.world, reply.body)) if reply.status == 200 else reply


@ROUTES.add("PATCH", "{repo}/pulls/{number}")
def _edit_pull(asked: Answering) -> Reply:
    return _pull(asked)


@ROUTES.add("GET", "{repo}/pulls")
def _pulls(asked: Answering) -> Reply:
    wanted = asked.request.params
    state = wanted.get("state", "open")
    found = [entry for entry in _all_pulls(asked.world) if state in {"all", entry["state"]}]
    found = [entry for entry in found if wanted.get("head", entry["head"]["label"]) == entry["head"]["label"]]
    found = [entry for entry in found if wanted.get("base", entry["base"]["ref"]) == entry["base"]["ref"]]
    found.sort(key=lambda entry: entry["number"], reverse=wanted.get("direction", "desc") == "desc")
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, shown, headers)


@ROUTES.add("GET", "{repo}/commits/{sha}/pulls")
def _pulls_of_commit(asked: Answering) -> Reply:
    sha = asked.found["sha"]
    found = [entry for entry in _all_pulls(asked.world) if sha in {entry["head"]["sha"], entry["merge_commit_sha"]}]
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, shown, headers)


def _all_pulls(world: World) -> list[dict[str, Any]]:
    return [pull_as_told(world, entry) for entry in world.everything(f"{world.place}/pulls?state=all")]


def pull_as_told(world: World, told: dict[str, Any]) -> dict[str, Any]:
    """The emulator's pull request with the commits that the test has chosen."""
    known = world.tables.pulls.get(told["number"])
    if known is None:
        return told
    told = copy.deepcopy(told)
    head, base = told["head"], told["base"]
    base |= {"sha": known.base_sha, "ref": known.base_branch, "label": f"{world.owner}:{known.base_branch}"}
    head |= {"sha": known.head_sha, "ref": known.head_branch}
    head["repo"] = repository_as(head["repo"], known.head_repository) if known.head_repository else None
    owner = (known.head_repository or "unknown/repository").partition("/")[0]
    head["label"] = f"{owner}:{known.head_branch}"
    head["user"] = {**head["user"], "login": owner} if known.head_repository else None
    told["merge_commit_sha"] = known.merge_sha
    told["author_association"] = world.association(told["user"]["login"])
    return _with_statuses(world, told, known)


def _with_statuses(world: World, told: dict[str, Any], known: Pull) -> dict[str, Any]:
    place = f"{world.url}{world.place}/statuses/{known.head_sha}"
    told["statuses_url"] = place
    told["_links"]["statuses"] = {"href": place}
    return told


def repository_as(told: dict[str, Any], full_name: str) -> dict[str, Any]:
    """The repository *told* under another name: a fork of it."""
    if told["full_name"] == full_name:
        return told
    owner, _, name = full_name.partition("/")
    text = json.dumps(told).replace(told["full_name"], full_name)
    made: dict[str, Any] = json.loads(text)
    made["owner"] = {**made["owner"], "login": owner, "id": made["owner"]["id"] + 500}
    return {**made, "name": name, "id": told["id"] + 500, "fork": True}


@ROUTES.add("GET", "{repo}/issues/{number}")
def _issue(asked: Answering) -> Reply:
    reply = asked.forward()
    if reply.status != 404:
        return reply
    told = asked.world.ask("GET", f"{asked.world.place}/pulls/{asked.number('number')}")
    return Reply(200, _as_issue(asked.world, told.body)) if told.status == 200 else reply


@ROUTES.add("PATCH", "{repo}/issues/{number}")
def _edit_issue(asked: Answering) -> Reply:
    if isinstance((asked.request.body or {}).get("body"), str):
        asked.world.tables.edits[asked.number("number")].append(asked.who.login)
    return asked.forward()


def _as_issue(world: World, pull: dict[str, Any]) -> dict[str, Any]:
    place = f"{world.url}{world.place}/issues/{pull['number']}"
    same = "id node_id number state title body user labels assignee assignees milestone locked comments draft "
    same += "closed_at created_at updated_at author_association html_url"
    return {
        **{name: pull[name] for name in same.split()},
        "url": place,
        "repository_url": f"{world.url}{world.place}",
        "labels_url": place + "/labels{/name}",
        "comments_url": f"{place}/comments",
        "events_url": f"{place}/events",
        "timeline_url": f"{place}/timeline",
        "active_lock_reason": None,
        "state_reason": None,
        "performed_via_github_app": None,
        "pull_request": {name: pull[name] for name in ("url", "html_url", "diff_url", "patch_url", "merged_at")},
    }


@ROUTES.add("GET", "{repo}/issues/{number}/comments")
def _comments(asked: Answering) -> Reply:
    reply = asked.forward()
    if reply.status != 200:
        return reply
    return Reply(200, [comment_as_told(asked.world, entry) for entry in reply.body], reply.headers)


@ROUTES.add("POST", "{repo}/issues/{number}/comments")
def _comment(asked: Answering) -> Reply:
    return _too_long(asked) or _told_comment(asked)


@ROUTES.add("GET", "{repo}/issues/comments/{id}")
def _told_comment(asked: Answering) -> Reply:
    reply = asked.forward()
    told = reply.status in {200, 201}
    return Reply(reply.status, comment_as_told(asked.world, reply.body)) if told else reply


@ROUTES.add("PATCH", "{repo}/issues/comments/{id}")
def _edit_comment(asked: Answering) -> Reply:
    return _too_long(asked) or _told_comment(asked)


def _too_long(asked: Answering) -> Reply | None:
    body = (asked.request.body or {}).get("body")
    if not isinstance(body, str) or not body.strip():
        return invalid("Validation Failed", resource="IssueComment", code="missing_field", field="body")
    if len(body) > _MOST_CHARACTERS:
        said = f"Body is too long (maximum is {_MOST_CHARACTERS} characters)"
        return invalid("Validation Failed", resource="IssueComment", code="unprocessable", field="data", message=said)
    return None


def comment_as_told(world: World, told: dict[str, Any]) -> dict[str, Any]:
    """The emulator's comment with its page, its time, its reactions, and what its author is here."""
    number = int(told["issue_url"].rpartition("/")[2])
    kind = "pull" if number in world.tables.pulls else "issues"
    given = world.tables.reactions[told["id"]]
    counts = {name: sum(one["content"] == name for one in given) for name in told["reactions"] if name != "url"}
    written = world.tables.comment_times.get(told["id"])
    times = {"created_at": written} if written else {}
    if written and told["created_at"] == told["updated_at"]:
        times["updated_at"] = written
    return {
        **told,
        **times,
        "html_url": f"{WEB}/{world.repository}/{kind}/{number}#issuecomment-{told['id']}",
        "author_association": world.association(told["user"]["login"]),
        "reactions": {**told["reactions"], **counts, "total_count": len(given)},
    }


@ROUTES.add("POST", "{repo}/check-runs")
def _create_check(asked: Answering) -> Reply:
    body = dict(asked.request.body or {})
    if not asked.world.knows(str(body.get("head_sha"))):
        return invalid(f"No commit found for SHA: {body.get('head_sha')}")
    if "conclusion" in body:
        body["status"] = "completed"
    body.setdefault("started_at", now())
    annotations = list((body.get("output") or {}).pop("annotations", []))
    reply = asked.forward(body)
    if reply.status == 201:
        asked.world.tables.checks[body["head_sha"]].append(reply.body["id"])
        asked.world.tables.annotations[reply.body["id"]] = annotations
    return _told_check(asked.world, reply)


@ROUTES.add("PATCH", "{repo}/check-runs/{id}")
def _edit_check(asked: Answering) -> Reply:
    body = dict(asked.request.body or {})
    if "conclusion" in body:
        body["status"] = "completed"
    annotations = list((body.get("output") or {}).pop("annotations", []))
    reply = asked.forward(body)
    if reply.status == 200:
        asked.world.tables.annotations[reply.body["id"]] += annotations
    return _told_check(asked.world, reply)


@ROUTES.add("GET", "{repo}/check-runs/{id}")
def _check(asked: Answering) -> Reply:
    return _told_check(asked.world, asked.forward())


@ROUTES.add("GET", "{repo}/check-runs/{id}/annotations")
def _annotations(asked: Answering) -> Reply:
    if asked.world.ask("GET", asked.request.path.removesuffix("/annotations")).status != 200:
        return not_found()
    shown, headers = page(asked.request, annotations_as_told(asked.world, asked.number("id")), asked.world.url)
    return Reply(200, shown, headers)


@ROUTES.add("GET", "{repo}/commits/{sha}/check-runs")
def _checks(asked: Answering) -> Reply:
    found = checks_as_told(asked.world, asked.found["sha"], asked.request)
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, {"total_count": len(found), "check_runs": shown}, headers)


def checks_as_told(world: World, sha: str, request: Request | None = None) -> list[dict[str, Any]]:
    """The check runs of *sha* that are asked for, newest first; all of them unless one asks."""
    wanted = {"filter": "latest", **request.params} if request else {"filter": "all"}
    entries = (world.ask("GET", f"{world.place}/check-runs/{number}") for number in reversed(world.tables.checks[sha]))
    found = [_told_check(world, entry).body for entry in entries]
    found = [entry for entry in found if wanted.get("check_name", entry["name"]) == entry["name"]]
    found = [entry for entry in found if wanted.get("status", entry["status"]) == entry["status"]]
    if wanted["filter"] == "latest":
        found = list({entry["name"]: entry for entry in reversed(found)}.values())[::-1]
    return found


def annotations_as_told(world: World, number: int) -> list[dict[str, Any]]:
    """The annotations of a check run."""
    sha = world.do("GET", f"{world.place}/check-runs/{number}")["head_sha"]
    nothing = {"start_column": None, "end_column": None, "title": None, "raw_details": None}
    return [
        {**nothing, **entry, "blob_href": f"{WEB}/{world.repository}/blob/{sha}/{entry['path']}"}
        for entry in world.tables.annotations[number]
    ]


def _told_check(world: World, reply: Reply) -> Reply:
    if reply.status not in {200, 201}:
        return reply
    told = dict(reply.body)
    place = f"{world.url}{world.place}/check-runs/{told['id']}/annotations"
    annotations = world.tables.annotations[told["id"]]
    told["output"] = {**told["output"], "annotations_count": len(annotations), "annotations_url": place}
    told["app"] = actions_app(world)
    told["details_url"] = told["details_url"] or "https://github.com/features/actions"
    if told["conclusion"] is None:
        told["completed_at"] = None
    return Reply(reply.status, told)


def actions_app(world: World) -> dict[str, Any]:
    """The App that a workflow's own token belongs to."""
    owner = world.user("octocat")
    return {
        "id": _ACTIONS_APP,
        "slug": ACTIONS.removesuffix("[bot]"),
        "node_id": node_id("A", _ACTIONS_APP),
        "owner": owner,
        "name": "GitHub Actions",
        "description": "Automate your workflow from idea to production",
        "external_url": "https://help.github.com/en/actions",
        "html_url": f"{WEB}/apps/github-actions",
        "created_at": "2018-07-30T09:30:17Z",
        "updated_at": "2024-04-10T20:33:16Z",
        "permissions": {"checks": "write", "metadata": "read"},
        "events": ["check_run"],
    }


@ROUTES.add("GET", "{repo}/branches/{branch+}/protection/required_status_checks")
def _required(asked: Answering) -> Reply:
    branch = asked.found["branch"]
    checks = asked.world.tables.protection.get(branch)
    if checks is None:
        return Reply(404, {**not_found().body, "message": "Branch not protected"})
    place = f"{asked.world.url}{asked.world.place}/branches/{branch}/protection/required_status_checks"
    contexts = [check["context"] for check in checks]
    found = {"url": place, "strict": False, "contexts": contexts, "contexts_url": f"{place}/contexts", "checks": checks}
    return Reply(200, found)


@ROUTES.add("GET", "{repo}/branches/{branch}")
def _branch(asked: Answering) -> Reply:
    reply = asked.forward()
    if reply.status != 200:
        return Reply(404, {**not_found().body, "message": "Branch not found"}) if reply.status == 404 else reply
    branch = asked.found["branch"]
    checks = asked.world.tables.protection.get(branch)
    place = f"{asked.world.url}{asked.world.place}/branches/{branch}"
    told = {
        **reply.body,
        "commit": asked.world.do("GET", f"{asked.world.place}/commits/{reply.body['commit']['sha']}"),
        "_links": {"self": place, "html": f"{WEB}/{asked.world.repository}/tree/{branch}"},
        "protected": checks is not None or bool(asked.world.tables.rules.get(branch)),
        "protection_url": f"{place}/protection",
        "protection": {
            "enabled": checks is not None,
            "required_status_checks": {
                "enforcement_level": "off" if checks is None else "non_admins",
                "contexts": [check["context"] for check in checks or []],
                "checks": checks or [],
            },
        },
    }
    return Reply(200, told)
