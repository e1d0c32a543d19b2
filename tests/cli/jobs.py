"""CI jobs as GitHub starts them: a clone at a commit (or nothing), an event, and what the job leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cli.conftest import Workplace
from tests.github import events
from tests.repositories import git
from tests.unit.test_ci import read_outputs

if TYPE_CHECKING:
    from tests.github.gateway import GitHubServer

REPOSITORY = "octo/churn"


@dataclass
class Job:
    """What a job left."""

    place: Workplace
    said: str
    outputs: dict[str, str]
    summary: str


@dataclass
class Change:
    """A pull request as git has it: its head, what it wants to enter, and the merge of both."""

    number: int
    head: str
    base: str
    merge: str
    branch: str = "feature"
    repository: str = REPOSITORY

    def payload(self, repository: str = REPOSITORY) -> dict[str, Any]:
        """What the event says of it."""
        return events.pull_request_event(
            number=self.number,
            head_sha=self.head,
            base_sha=self.base,
            repository=repository,
            head_branch=self.branch,
            head_repository=self.repository,
            merge_sha=self.merge,
        )


@dataclass
class Runner:
    """
    Runs jobs over a remote.

    Attributes:
        project: Where somebody works who pushes.
        tmp_path: The test's folder.
        github: The API; without it there is no token, and nothing is posted.
        token: The job's; the workflow's own with all that it needs, unless a test says otherwise.
        depth: Options of the clone.
        own: Whether the action knows the token as the workflow's own.
        config: The configuration, where it is not mlops.yaml.
    """

    project: Workplace
    tmp_path: Path
    github: GitHubServer | None = None
    token: str = ""
    depth: list[str] = field(default_factory=list)
    own: bool = True
    config: str = ""
    name: str = "job"
    count: int = 0

    @property
    def repository(self) -> str:
        """Its full name."""
        return self.github.repository if self.github else REPOSITORY

    def __call__(  # what a job can differ in
        self,
        name: str,
        ref: str,
        payload: dict[str, Any],
        *,
        sha: str,
        expect: int = 0,
        part: str = "all",
        bundles: Sequence[Path | str] = (),
        words: Sequence[str] = (),
        code: bool = True,
        run_id: int = 0,
        attempt: int = 1,
        **variables: str,
    ) -> Job:
        """Run a job; one that records has no *code*, and so no clone. *words* are more options of the command."""
        self.count += 1
        label = f"{self.name}{self.count}"
        place = self._clone(label, sha) if code else self._nothing(label)
        files = {key: self.tmp_path / f"{label}-{key}" for key in ("event", "output", "summary")}
        files["event"].write_text(json.dumps(payload))
        named = [word for bundle in bundles for word in ("--bundle", str(bundle))]
        said = place.run(
            *(["--config", self.config] if self.config else []),
            "ci",
            *(["--part", part] if part != "all" else []),
            *named,
            *words,
            "--output",
            str(self.tmp_path / f"{label}-out"),
            expect=expect,
            **{
                "GITHUB_ACTIONS": "true",
                "GITHUB_EVENT_NAME": name,
                "GITHUB_EVENT_PATH": str(files["event"]),
                "GITHUB_REF": ref,
                "GITHUB_SHA": sha,
                "GITHUB_REPOSITORY": self.repository,
                "GITHUB_RUN_ID": str(run_id or self.count),
                "GITHUB_RUN_ATTEMPT": str(attempt),
                "GITHUB_ACTOR": "octocat",
                "GITHUB_OUTPUT": str(files["output"]),
                "GITHUB_STEP_SUMMARY": str(files["summary"]),
                **self._access(),
                **variables,
            },
        )
        summary = files["summary"].read_text() if files["summary"].exists() else ""
        outputs = read_outputs(files["output"]) if files["output"].exists() else {}
        return Job(place, said, outputs, summary)

    def _access(self) -> dict[str, str]:
        """The API and the token; and a git host that is the bare repository on this disk."""
        host = {
            "GITHUB_SERVER_URL": "https://github.com",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.project.remote}.insteadOf",
            "GIT_CONFIG_VALUE_0": f"https://github.com/{self.repository}.git",
        }
        if self.github is None:
            return host
        token = self.token or self.github.token(
            permissions={"contents": "write", "pull-requests": "write", "checks": "write", "actions": "read"}
        )
        own = {"MLOPS_CI_OWN_TOKEN": "true"} if self.own else {}
        return {**host, **own, "GITHUB_API_URL": self.github.url, "GITHUB_TOKEN": token}

    def _clone(self, label: str, sha: str) -> Workplace:
        """As a runner clones: through the protocol, so that what no ref names any more is not there."""
        place = self.project.clone(label, "--no-local", *self.depth)
        git(place.root, "fetch", "--quiet", *self.depth, "origin", sha)
        git(place.root, "checkout", "--quiet", "--detach", sha)
        return place

    def _nothing(self, label: str) -> Workplace:
        folder = self.tmp_path / f"{label}-empty"
        folder.mkdir()
        return Workplace(folder, self.project.env)

    # Events.

    def push(self, *, expect: int = 0, **options: Any) -> Job:
        """A push of what main is now."""
        sha = git(self.project.remote, "rev-parse", "main")
        payload = events.push_event(after=sha, repository=self.repository)
        return self("push", "refs/heads/main", payload, sha=sha, expect=expect, **options)

    def propose(self, files: dict[str, str], *, number: int = 7, fork: str = "") -> Change:
        """Make a pull request with *files*, of the repository *fork* or of this one, and its merge, as GitHub does."""
        work = self.project
        git(work.root, "fetch", "--quiet", "origin")
        base = git(work.remote, "rev-parse", "main")
        git(work.root, "switch", "--quiet", "-C", "feature", base)
        head = work.commit(files)
        git(work.root, "switch", "--quiet", "--detach", base)
        git(work.root, "merge", "--quiet", "--no-ff", "-m", "merge", "feature")
        merge = git(work.root, "rev-parse", "HEAD")
        git(work.root, "switch", "--quiet", "main")
        work.push("--force", f"{merge}:refs/pull/{number}/merge", f"{head}:refs/pull/{number}/head", "feature")
        return Change(number, head, base, merge, repository=fork or self.repository)

    def pull_request(self, change: Change, *, expect: int = 0, **options: Any) -> Job:
        """The job of *change*, on its merge commit."""
        ref, payload = f"refs/pull/{change.number}/merge", change.payload(self.repository)
        return self("pull_request", ref, payload, sha=change.merge, expect=expect, **options)
