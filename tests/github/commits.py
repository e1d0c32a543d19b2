"""
Commits and comparisons, as GitHub tells them of the test's own bare repository: ours, since the emulator knows no
commit that git made. A test that needs them imports this, and gives the server its repository: `github.world.git`.

An address whose first part is the login of somebody here is an address of that account.
"""

from __future__ import annotations

from typing import Any

from tests.github.emulator import PEOPLE
from tests.github.fake import ROUTES
from tests.github.messages import Reply, page
from tests.github.world import WEB, Answering, World, node_id, not_found
from tests.repositories import git

_FORMAT = "%H%n%T%n%P%n%an%n%ae%n%aI%n%cn%n%ce%n%cI%n%s"


@ROUTES.add("GET", "{repo}/commits/{sha}")
def _commit(asked: Answering) -> Reply:
    told = _told(asked.world, asked.found["sha"])
    return Reply(200, told) if told else not_found()


@ROUTES.add("GET", "{repo}/compare/{range}")
def _compare(asked: Answering) -> Reply:
    world = asked.world
    base, _, head = asked.found["range"].partition("...")
    known = [_told(world, base), _told(world, head)]
    if not all(known):
        return not_found()
    assert world.git is not None
    merge_base = git(world.git, "merge-base", base, head)
    ahead = git(world.git, "rev-list", "--reverse", f"{base}..{head}").split()
    behind = git(world.git, "rev-list", f"{head}..{base}").split()
    shown, headers = page(asked.request, [_told(world, sha) for sha in ahead], world.url)
    place, web = f"{world.url}{asked.request.path}", f"{WEB}/{world.repository}/compare/{base}...{head}"
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    told = {
        "url": place,
        "html_url": web,
        "permalink_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "base_commit": known[0],
        "merge_base_commit": _told(world, merge_base),
        "status": status,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": shown,
        "files": [],
    }
    return Reply(200, told, headers)


def _told(world: World, sha: str) -> dict[str, Any] | None:
    if world.git is None or not world.knows(sha):
        return None
    said = git(world.git, "show", "-s", f"--format={_FORMAT}", sha).split("\n")
    full, tree, parents, author, author_email, written, committer, committer_email, committed, subject = said
    place, web = f"{world.url}{world.place}", f"{WEB}/{world.repository}"
    return {
        "url": f"{place}/commits/{full}",
        "sha": full,
        "node_id": node_id("C", int(full[:8], 16)),
        "html_url": f"{web}/commit/{full}",
        "comments_url": f"{place}/commits/{full}/comments",
        "commit": {
            "url": f"{place}/git/commits/{full}",
            "author": {"name": author, "email": author_email, "date": written},
            "committer": {"name": committer, "email": committer_email, "date": committed},
            "message": subject,
            "comment_count": 0,
            "tree": {"sha": tree, "url": f"{place}/git/trees/{tree}"},
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        },
        "author": _account(world, author_email),
        "committer": _account(world, committer_email),
        "parents": [
            {"sha": one, "url": f"{place}/commits/{one}", "html_url": f"{web}/commit/{one}"} for one in parents.split()
        ],
    }


def _account(world: World, address: str) -> dict[str, Any]:
    """Whose address it is; nobody's is an empty object by GitHub's description, and null where it was seen."""
    login = address.partition("@")[0].rpartition("+")[2]
    return world.user(login) if login in PEOPLE else {}
