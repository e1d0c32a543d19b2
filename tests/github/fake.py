"""
Ours: an in-memory fake of what the emulator lacks.

Commit statuses, deployments and their statuses, the rules of a branch, a person's permission, reactions, and the two
questions that are asked of GraphQL; workflow runs and environments are in `runs.py`. The emulator is asked for nothing
here but users and the repository. Every answer is held against GitHub's description of it, like those of the emulator.
"""

from __future__ import annotations

from typing import Any

from tests.github import runs
from tests.github.messages import Reply, page, refusal
from tests.github.world import Answering, Routes, World, invalid, node_id, not_found, now

ROUTES = Routes()
_ROLES = ("none", "read", "triage", "write", "maintain", "admin")
_STATES = ("error", "failure", "pending", "success")


@ROUTES.add("POST", "/graphql")
def _viewer(asked: Answering) -> Reply:
    query = "".join(str((asked.request.body or {}).get("query", "")).split()).removeprefix("query")
    if "issueOrPullRequest" in query:
        return _edits(asked)
    if query != "{viewer{login}}":
        return Reply(200, {"errors": [{"message": f"the testbed answers two questions, not {query}"}]})
    return Reply(200, {"data": {"viewer": {"login": asked.who.login}}})


def _edits(asked: Answering) -> Reply:
    """The text of an issue or a pull request, and who edited it; GraphQL calls a program without its mark."""
    wanted, world = (asked.request.body or {})["variables"], asked.world
    told = world.ask("GET", f"{world.place}/issues/{wanted['number']}")
    if told.status != 200:
        told = world.ask("GET", f"{world.place}/pulls/{wanted['number']}")
    if f"{wanted['owner']}/{wanted['name']}".lower() != world.repository.lower() or told.status != 200:
        return Reply(200, {"data": None, "errors": [{"type": "NOT_FOUND", "message": "Could not resolve to an issue"}]})
    edits = [{"editor": _actor(login)} for login in world.tables.edits[wanted["number"]]]
    text = {"author": _actor(told.body["user"]["login"]), "body": told.body["body"] or ""}
    found = {"issueOrPullRequest": {**text, "userContentEdits": {"nodes": edits}}}
    return Reply(200, {"data": {"repository": found}})


def _actor(login: str) -> dict[str, str]:
    name = login.removesuffix("[bot]")
    return {"__typename": "User" if name == login else "Bot", "login": name}


@ROUTES.add("GET", "{repo}/collaborators/{login}/permission")
def _permission(asked: Answering) -> Reply:
    login = asked.found["login"]
    if not asked.world.is_person(login):
        return refusal(404, f"{login} is not a user")
    return Reply(200, permission_as_told(asked.world, login))


def permission_as_told(world: World, login: str) -> dict[str, Any]:
    """What *login* may do, as the API says it: the old name of a role beside the role's, which may be one's own."""
    role = world.role(login)
    old = world.legacy(role)
    rank = _ROLES.index(role if role in _ROLES else old)
    may = {name: rank > level for level, name in enumerate(("pull", "triage", "push", "maintain", "admin"))}
    return {"permission": old, "role_name": role, "user": {**world.user(login), "permissions": may, "role_name": role}}


@ROUTES.add("POST", "{repo}/issues/comments/{id}/reactions")
def _react(asked: Answering) -> Reply:
    if asked.world.ask("GET", asked.request.path.removesuffix("/reactions")).status != 200:
        return not_found()
    given = asked.world.tables.reactions[asked.number("id")]
    content = (asked.request.body or {})["content"]
    for one in given:
        if (one["user"]["login"], one["content"]) == (asked.who.login, content):
            return Reply(200, one)
    number = asked.world.next_id()
    user = asked.world.user(asked.who.login)
    one = {"id": number, "node_id": node_id("REA", number), "user": user, "content": content, "created_at": now()}
    given.append(one)
    return Reply(201, one)


@ROUTES.add("GET", "{repo}/issues/comments/{id}/reactions")
def _reactions(asked: Answering) -> Reply:
    shown, headers = page(asked.request, asked.world.tables.reactions[asked.number("id")], asked.world.url)
    return Reply(200, shown, headers)


@ROUTES.add("POST", "{repo}/statuses/{sha}")
def _status(asked: Answering) -> Reply:
    sha, body = asked.found["sha"], asked.request.body or {}
    if not asked.world.knows(sha):
        return invalid(f"No commit found for SHA: {sha}")
    if body.get("state") not in _STATES:
        return invalid("Validation Failed", resource="Status", code="custom", field="state")
    description = body.get("description")
    if description is not None and len(description) > 140:
        said = "description is too long (maximum is 140 characters)"
        return invalid("Validation Failed", resource="Status", code="custom", field="description", message=said)
    number = asked.world.next_id()
    made = {
        "url": f"{asked.world.url}{asked.world.place}/statuses/{sha}",
        "avatar_url": "https://avatars.githubusercontent.com/in/15368?v=4",
        "id": number,
        "node_id": node_id("SC", number),
        "state": body["state"],
        "description": description,
        "target_url": body.get("target_url"),
        "context": body.get("context", "default"),
        "created_at": now(),
        "updated_at": now(),
        "creator": asked.world.user(asked.who.login),
    }
    asked.world.tables.statuses[sha].insert(0, made)
    return Reply(201, made)


@ROUTES.add("GET", "{repo}/commits/{sha}/statuses")
def _statuses(asked: Answering) -> Reply:
    shown, headers = page(asked.request, asked.world.tables.statuses[asked.found["sha"]], asked.world.url)
    return Reply(200, shown, headers)


@ROUTES.add("GET", "{repo}/commits/{sha}/status")
def _combined_status(asked: Answering) -> Reply:
    sha = asked.found["sha"]
    newest = {one["context"]: one for one in reversed(asked.world.tables.statuses[sha])}
    states = {one["state"] for one in newest.values()}
    failed = states & {"error", "failure"}
    place = f"{asked.world.url}{asked.world.place}/commits/{sha}"
    told = {
        "state": "failure" if failed else "success" if states == {"success"} else "pending",
        "statuses": [{name: one[name] for name in one if name != "creator"} for one in newest.values()],
        "sha": sha,
        "total_count": len(newest),
        "repository": asked.world.repo(),
        "commit_url": place,
        "url": f"{place}/status",
    }
    return Reply(200, told)


@ROUTES.add("GET", "{repo}/rules/branches/{branch}")
def _rules(asked: Answering) -> Reply:
    shown, headers = page(asked.request, asked.world.tables.rules[asked.found["branch"]], asked.world.url)
    return Reply(200, shown, headers)


def required_checks_rule(world: World, checks: list[tuple[str, int | None]]) -> dict[str, Any]:
    """The rule of a ruleset that wants *checks*: the name of each, and the App that must post it."""
    wanted = [{"context": name} | ({} if app is None else {"integration_id": app}) for name, app in checks]
    parameters = {
        "strict_required_status_checks_policy": False,
        "do_not_enforce_on_create": False,
        "required_status_checks": wanted,
    }
    return {
        "type": "required_status_checks",
        "ruleset_source_type": "Repository",
        "ruleset_source": world.repository,
        "ruleset_id": 42,
        "parameters": parameters,
    }


@ROUTES.add("POST", "{repo}/deployments")
def _deploy(asked: Answering) -> Reply:
    body = asked.request.body or {}
    if not isinstance(body.get("ref"), str):
        return invalid("Validation Failed", resource="Deployment", code="missing_field", field="ref")
    wanted = body.get("required_contexts")
    missing = _not_passed(asked.world, body["ref"], wanted)
    if missing:
        return refusal(409, f"Conflict: Commit status checks failed for {body['ref']}: {', '.join(missing)}.")
    if not asked.world.commit_of(body["ref"]):
        return invalid(f"No ref found for: {body['ref']}")
    return Reply(201, add_deployment(asked.world, body, asked.who.login))


def add_deployment(world: World, body: dict[str, Any], login: str) -> dict[str, Any]:
    """Make the deployment that *login* asks for with *body*, and its environment if it is not there."""
    number, environment = world.next_id(), body.get("environment", "production")
    place = f"{world.url}{world.place}/deployments/{number}"
    made = {
        "url": place,
        "id": number,
        "node_id": node_id("DE", number),
        "sha": world.commit_of(body["ref"]),
        "ref": body["ref"],
        "task": body.get("task", "deploy"),
        "payload": body.get("payload") or {},
        "original_environment": environment,
        "environment": environment,
        "description": body.get("description"),
        "creator": world.user(login),
        "created_at": now(),
        "updated_at": now(),
        "statuses_url": f"{place}/statuses",
        "repository_url": f"{world.url}{world.place}",
        "transient_environment": body.get("transient_environment", False),
        "production_environment": body.get("production_environment", environment == "production"),
    }
    world.tables.deployments[number] = made
    if environment not in world.tables.environments:
        runs.add_environment(world, environment, (), prevent_self_review=False, wait_minutes=0)
    return made


def _not_passed(world: World, ref: str, wanted: list[str] | None) -> list[str]:
    newest = {one["context"]: one["state"] for one in reversed(world.tables.statuses[ref])}
    return [name for name in (newest if wanted is None else wanted) if newest.get(name) != "success"]


@ROUTES.add("GET", "{repo}/deployments")
def _deployments(asked: Answering) -> Reply:
    wanted = asked.request.params
    found = list(asked.world.tables.deployments.values())[::-1]  # newest first
    for name in ("sha", "ref", "task", "environment"):
        found = [entry for entry in found if wanted.get(name, entry[name]) == entry[name]]
    shown, headers = page(asked.request, found, asked.world.url)
    return Reply(200, shown, headers)


@ROUTES.add("GET", "{repo}/deployments/{id}")
def _deployment(asked: Answering) -> Reply:
    found = asked.world.tables.deployments.get(asked.number("id"))
    return Reply(200, found) if found else not_found()


@ROUTES.add("POST", "{repo}/deployments/{id}/statuses")
def _deployment_status(asked: Answering) -> Reply:
    body, deployment = asked.request.body or {}, asked.world.tables.deployments.get(asked.number("id"))
    if deployment is None:
        return not_found()
    if len(body.get("description") or "") > 140:
        return invalid("Validation Failed", resource="DeploymentStatus", code="custom", field="description")
    made = add_deployment_status(asked.world, deployment, body, asked.who.login)
    if body["state"] == "success" and body.get("auto_inactive", True):
        _deactivate(asked.world, deployment, asked.who.login)
    return Reply(201, made)


def _deactivate(world: World, deployment: dict[str, Any], login: str) -> None:
    """What GitHub does by itself to what was deployed before; not where it is of production."""
    for other in world.tables.deployments.values():
        newest = next(iter(world.tables.deployment_statuses[other["id"]]), None)
        lasting = other["transient_environment"] or other["production_environment"]
        same = other["id"] < deployment["id"] and other["environment"] == deployment["environment"]
        if same and not lasting and newest is not None and newest["state"] == "success":
            add_deployment_status(world, other, {"state": "inactive"}, login)


def add_deployment_status(world: World, deployment: dict[str, Any], body: dict[str, Any], login: str) -> dict[str, Any]:
    """Say of *deployment* what *login* says in *body*."""
    number = world.next_id()
    made = {
        "url": f"{deployment['statuses_url']}/{number}",
        "id": number,
        "node_id": node_id("DES", number),
        "state": body["state"],
        "creator": world.user(login),
        "description": body.get("description", ""),
        "environment": body.get("environment", deployment["environment"]),
        "target_url": body.get("target_url") or body.get("log_url", ""),
        "log_url": body.get("log_url") or body.get("target_url", ""),
        "environment_url": body.get("environment_url", ""),
        "created_at": now(),
        "updated_at": now(),
        "deployment_url": deployment["url"],
        "repository_url": deployment["repository_url"],
    }
    world.tables.deployment_statuses[deployment["id"]].insert(0, made)
    return made


@ROUTES.add("GET", "{repo}/deployments/{id}/statuses")
def _deployment_statuses(asked: Answering) -> Reply:
    if asked.number("id") not in asked.world.tables.deployments:
        return not_found()
    shown, headers = page(asked.request, asked.world.tables.deployment_statuses[asked.number("id")], asked.world.url)
    return Reply(200, shown, headers)
