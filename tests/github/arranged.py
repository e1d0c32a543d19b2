"""
What a test arranges in its repository, and what it finds there: pull requests, comments, checks, people, rules, runs.

None of it is a call that is noted, counted, refused or held against the description.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tests.github import fake, mended, runs
from tests.github.emulator import ACTIONS, ORGANISATION
from tests.github.world import Pull, World


class Arranged:
    """One repository, *world*, from the test's side."""

    world: World
    repository: str

    def open_pull_request(
        self,
        *,
        head_sha: str,
        base_sha: str,
        head_branch: str = "feature",
        head_repository: str | None = "",
        base_branch: str = "main",
        author: str = "octocat",
        number: int | None = None,
        merge_sha: str | None = None,
        title: str = "a change",
    ) -> int:
        """
        Open a pull request, and return its number.

        Args:
            head_sha: The commit that is to be merged; GitHub need not have it.
            base_sha: The tip of the target branch.
            head_branch: By any name at all.
            head_repository: "owner/name" of a fork; "" is the repository itself, None one that is gone.
            base_branch: The target.
            author: Who opened it.
            number: Which it shall get: as many issues are opened before as that takes.
            merge_sha: The commit that would merge it; None while GitHub does not know.
            title: Of it.
        """
        world = self.world
        while number is not None and len(list(world.everything(f"{world.place}/issues?state=all"))) < number - 1:
            self.open_issue()
        branch = f"testbed-{world.next_id()}"
        if base_branch != "main":
            self.add_branch(base_branch)
        body = {"title": title, "head": branch, "base": base_branch, "body": None}
        made = world.do("POST", f"{world.place}/pulls", body, login=author)
        assert number in {None, made["number"]}, f"it got number {made['number']}"
        fork = self.repository if head_repository == "" else head_repository
        world.tables.pulls[made["number"]] = Pull(head_sha, base_sha, head_branch, fork, base_branch, merge_sha)
        return int(made["number"])

    def push(self, number: int, head_sha: str, *, merge_sha: str | None = None) -> None:
        """Make *head_sha* the head of pull request *number*."""
        known = self.world.tables.pulls[number]
        known.head_sha, known.merge_sha = head_sha, merge_sha

    def close_pull_request(self, number: int) -> None:
        """Close it without merging."""
        self.world.do("PATCH", f"{self.world.place}/pulls/{number}", {"state": "closed"})

    def pull_request(self, number: int) -> dict[str, Any]:
        """Pull request *number*, as the API tells it."""
        return mended.pull_as_told(self.world, self.world.do("GET", f"{self.world.place}/pulls/{number}"))

    def open_issue(self, title: str = "an issue", author: str = "octocat") -> int:
        """Open an issue, and return its number."""
        return int(self.world.do("POST", f"{self.world.place}/issues", {"title": title}, login=author)["number"])

    def add_branch(self, branch: str) -> None:
        """Make *branch*, if it is not there."""
        if self.world.ask("GET", f"{self.world.place}/git/ref/heads/{branch}").status == 404:
            tip = self.world.do("GET", f"{self.world.place}/git/ref/heads/main")["object"]["sha"]
            self.world.do("POST", f"{self.world.place}/git/refs", {"ref": f"refs/heads/{branch}", "sha": tip})

    def comments(self, number: int) -> list[dict[str, Any]]:
        """All comments of the pull request or issue *number*, oldest first."""
        entries = self.world.everything(f"{self.world.place}/issues/{number}/comments")
        return [mended.comment_as_told(self.world, entry) for entry in entries]

    def add_comment(self, number: int, author: str, body: str, *, created_at: str = "") -> int:
        """Let *author* write *body*, at a time of the past if one is given; the comment's id."""
        path = f"{self.world.place}/issues/{number}/comments"
        made = int(self.world.do("POST", path, {"body": body}, login=author)["id"])
        if created_at:
            self.world.tables.comment_times[made] = created_at
        return made

    def edit_comment(self, comment: int, body: str, *, author: str = "octocat") -> None:
        """Write *body* where a comment is, as its author or anybody who may write can."""
        self.world.do("PATCH", f"{self.world.place}/issues/comments/{comment}", {"body": body}, login=author)

    def delete_comment(self, comment: int) -> None:
        """Remove a comment."""
        self.world.do("DELETE", f"{self.world.place}/issues/comments/{comment}")

    def reactions(self, comment: int) -> list[tuple[str, str]]:
        """Who has reacted to a comment, and how."""
        return [(entry["user"]["login"], entry["content"]) for entry in self.world.tables.reactions[comment]]

    def check_runs(self, sha: str) -> list[dict[str, Any]]:
        """All check runs of a commit, newest first, each with its `annotations`."""
        found = mended.checks_as_told(self.world, sha)
        return [{**one, "annotations": mended.annotations_as_told(self.world, one["id"])} for one in found]

    def statuses(self, sha: str) -> list[dict[str, Any]]:
        """All statuses of a commit, newest first."""
        return list(self.world.tables.statuses[sha])

    def require_checks(
        self,
        branch: str,
        names: Sequence[str],
        *,
        app: int | None = None,
        by: Literal["ruleset", "protection"] = "ruleset",
    ) -> None:
        """Demand checks of *names* before a merge into *branch*, of the App *app* or of any."""
        self.add_branch(branch)
        if by == "ruleset":
            rule = fake.required_checks_rule(self.world, [(name, app) for name in names])
            self.world.tables.rules[branch].append(rule)
        else:
            self.world.tables.protection[branch] += [{"context": name, "app_id": app} for name in names]

    def set_permission(self, login: str, role: str) -> None:
        """Give *login* a role: none, read, triage, write, maintain, admin, or one of an organisation's own."""
        self.world.tables.roles[login] = role

    def add_team(self, slug: str, members: Sequence[str] = (), *, organisation: str = ORGANISATION) -> None:
        """Make a team of *members*; teams outlive a test, so *slug* is best one of its own."""
        place = f"/orgs/{organisation}/teams"
        self.world.do("POST", place, {"name": slug})
        for login in members:
            self.world.do("PUT", f"{place}/{slug}/memberships/{login}", {"role": "member"})

    def add_environment(
        self, name: str, reviewers: Sequence[str] = (), *, prevent_self_review: bool = False, wait_minutes: int = 0
    ) -> None:
        """Make an environment; *reviewers* are logins, and "team:SLUG" of the organisation."""
        entries = tuple(self._reviewer(reviewer) for reviewer in reviewers)
        runs.add_environment(
            self.world, name, entries, prevent_self_review=prevent_self_review, wait_minutes=wait_minutes
        )

    def add_run(
        self, run_id: int | None = None, *, pending: Sequence[str] = (), actor: str = "octocat", **facts: Any
    ) -> int:
        """
        Make a workflow run; a finished one of a pull request, unless *facts* say otherwise.

        Args:
            run_id: Its number, or a new one.
            pending: The environments that it waits for.
            actor: Who started it.
            facts: Fields of the API: `head_sha`, `head_branch`, `event`, `conclusion`, `path`. `head_repository`
                may be "owner/name" of a fork.
        """
        number = self.world.next_id() if run_id is None else run_id
        if isinstance(fork := facts.get("head_repository"), str):
            facts["head_repository"] = mended.repository_as(self.world.repo(), fork)
        person = self.world.user(actor)
        runs.add_run(self.world, number, {"actor": person, "triggering_actor": person, **facts})
        self.world.tables.pending[number] = list(pending)
        return number

    def add_artifact(self, run_id: int, name: str, content: bytes | dict[str, bytes], *, expired: bool = False) -> int:
        """Keep an archive (bytes), or one of these files, as an upload of a run that is made if need be; its id."""
        if run_id not in self.world.tables.runs:
            self.add_run(run_id)
        return runs.add_artifact(self.world, run_id, name, content, expired=expired)

    def approve(self, run_id: int, login: str, environment: str, *, comment: str = "", state: str = "approved") -> None:
        """Let *login* review what *run_id* waits for, whether they may or not."""
        found = self.world.tables.environments[environment]
        entry = {"environments": [runs.short(found)], "state": state, "comment": comment}
        self.world.tables.approvals[run_id].append({**entry, "user": self.world.user(login)})
        if environment in self.world.tables.pending[run_id]:
            self.world.tables.pending[run_id].remove(environment)

    def run_again(self, run_id: int, actor: str) -> None:
        """Let *actor* run *run_id* again."""
        runs.rerun(self.world, run_id, actor)

    def add_deployment(self, run_id: int, environment: str, *, job: int = 1, state: str = "in_progress") -> int:
        """Make the Deployment that GitHub makes for a job of *run_id* that names *environment*; its number."""
        run = self.world.tables.runs[run_id]
        login = run["actor"]["login"]  # GitHub names the person, and the App by which it was done
        made = fake.add_deployment(self.world, {"ref": run["head_sha"], "environment": environment}, login)
        made["performed_via_github_app"] = mended.actions_app(self.world)
        said = {"state": state, "log_url": f"{run['html_url']}/job/{job}"}
        fake.add_deployment_status(self.world, made, said, ACTIONS)
        return int(made["id"])

    def deployments(self) -> list[dict[str, Any]]:
        """All Deployments, oldest first, each with its `statuses`, newest first."""
        tables = self.world.tables
        return [{**one, "statuses": tables.deployment_statuses[one["id"]]} for one in tables.deployments.values()]

    def issue(self, number: int) -> dict[str, Any]:
        """Issue *number*, as the API tells it."""
        return dict(self.world.do("GET", f"{self.world.place}/issues/{number}"))

    def edit_issue(self, number: int, *, author: str = "octocat", **facts: str) -> None:
        """Let *author* change the title or the body of an issue."""
        self.world.do("PATCH", f"{self.world.place}/issues/{number}", facts, login=author)
        self.world.tables.edits[number] += [author] if "body" in facts else []

    def _reviewer(self, reviewer: str) -> dict[str, Any]:
        if not reviewer.startswith("team:"):
            return {"type": "User", "reviewer": self.world.user(reviewer)}
        team = self.world.do("GET", f"/orgs/{ORGANISATION}/teams/{reviewer.removeprefix('team:')}")
        return {"type": "Team", "reviewer": mended.team_as_told(self.world, ORGANISATION, team)}
