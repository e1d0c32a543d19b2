"""A repository on GitHub with a model in it, and what happens to it: the events of the action's tests."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from tests.action import runner
from tests.action.api import Api
from tests.repositories import clone, commit, git, make_remote

TRAIN = """\
import json, os, pathlib, sys
json.dump({"accuracy": float(open("accuracy.txt").read())}, open("metrics.json", "w"))
if "SEEN" in os.environ:
    seen = {"token": os.environ.get("GITHUB_TOKEN", ""), "path": sys.path, "environment": sorted(os.environ)}
    json.dump(seen, open(os.environ["SEEN"], "w"))
"""
CONFIG = """\
project: tiny
run:
  command: python3 train.py
  metrics: [metrics.json]
gates:
  - metric: accuracy
    min: 0.5
"""
FILES = {"mlops.yaml": CONFIG, "train.py": TRAIN, "accuracy.txt": "0.75", ".gitignore": "metrics.json\n"}
NAME = "octo/tiny"
RUNS = itertools.count(1000)


class Place:
    """
    A repository, a checkout of it where somebody works, and the runner of its workflows.

    Attributes:
        remote: The bare repository.
        work: Where somebody works.
        seen: What training saw, as JSON.
    """

    def __init__(self, folder: Path, home: Path, api: Api, tools: Path) -> None:
        self.folder, self.home, self.api = folder, home, api
        self.seen = folder / "seen.json"
        self.remote = make_remote(folder)
        self.work = clone(self.remote, folder / "work")
        self.push(FILES)
        self.options: dict[str, Any] = {
            "repository": self.remote,
            "home": home,
            "server": api.url,
            "environment": {"SEEN": str(self.seen), "PATH": f"{tools}:{runner.runner_environment(home)['PATH']}"},
        }

    def push(self, files: dict[str, str]) -> str:
        sha = commit(self.work, files)
        git(self.work, "push", "--quiet", "origin", "HEAD:main")
        return sha

    def refs(self, pattern: str = "refs/mlops") -> list[str]:
        return git(self.remote, "for-each-ref", "--format=%(refname)", pattern).split()

    def about(self, **more: Any) -> dict[str, Any]:
        """A payload with the repository in it."""
        repository = {"full_name": NAME, "default_branch": "main", "fork": False}
        return {"repository": repository, "sender": {"login": "octocat"}, **more}

    def pushed(self) -> dict[str, Any]:
        return self.about(ref="refs/heads/main", after=git(self.remote, "rev-parse", "main"))

    def tagged(self, tag: str) -> dict[str, Any]:
        git(self.work, "push", "--quiet", "origin", f"HEAD:refs/tags/{tag}")
        return self.about(ref=f"refs/tags/{tag}", after=git(self.remote, "rev-parse", "main"))

    def proposed(self, files: dict[str, str], *, branch: str = "feature", fork: str = "") -> dict[str, Any]:
        """The payload of a pull request with *files*; *fork* is the repository that it comes from."""
        base = git(self.remote, "rev-parse", "main")
        git(self.work, "checkout", "--quiet", "--detach", base)
        head = commit(self.work, files)
        git(self.work, "checkout", "--quiet", "--detach", base)
        git(self.work, "merge", "--quiet", "--no-ff", "-m", "merge", head)
        git(self.work, "push", "--quiet", "--force", "origin", "HEAD:refs/pull/7/merge", f"{head}:refs/pull/7/head")
        if not fork:
            git(self.work, "push", "--quiet", "--force", "origin", f"{head}:refs/heads/{branch}")
        source = {"full_name": fork or NAME, "fork": bool(fork)}
        pull = {
            "number": 7,
            "head": {"sha": head, "ref": branch, "repo": source},
            "base": {"sha": base, "ref": "main"},
            "user": {"login": "hubot"},
        }
        return self.about(action="synchronize", number=7, pull_request=pull)

    def act(self, event: str = "push", payload: dict[str, Any] | None = None, **inputs: str) -> runner.Result:
        """Run the action alone, on a checkout of what the event is about."""
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        options = {"run": (next(RUNS), 1), "keep": True, **self.options}
        return runner.run_action(named, event=event, payload=payload or self.pushed(), **options)

    def start(self, workflow: Path, event: str, payload: dict[str, Any], **options: Any) -> runner.Result:
        """Run a whole workflow."""
        options = {"run": (next(RUNS), 1), "keep": True, **self.options, **options}
        return runner.run_workflow(workflow, event=event, payload=payload, **options)
