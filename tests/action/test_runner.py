"""The runner of these tests does as GitHub's does where our workflows depend on it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.action.place import Place
from tests.action.runner import Result

pytestmark = pytest.mark.xdist_group("action")


@pytest.fixture
def start(place: Place) -> Any:
    """Starts a workflow that is given as its jobs, by a push to main."""

    def run(jobs: dict[str, Any], on: Any = "push", event: str = "push", **payload: Any) -> Result:
        whole = {name: {"runs-on": "ubuntu-latest", **job} for name, job in jobs.items()}
        path = place.folder / "given.yml"
        path.write_text(json.dumps({"on": on, "jobs": whole}), "utf-8")
        return place.start(path, event, {**place.pushed(), **payload})

    return run


def steps(*scripts: str, **more: Any) -> dict[str, Any]:
    return {"steps": [{"run": script} for script in scripts], **more}


def test_jobs_wait_for_each_other_and_are_skipped_with_those_they_need(start: Any) -> None:
    """`always()` and `!cancelled()` run all the same, and see what became of the others."""
    jobs = {
        "last": steps("echo last saw ${{ needs.middle.result }}", needs=["middle", "first"], **{"if": "!cancelled()"}),
        "middle": steps("echo never", needs="first"),
        "first": steps("echo 'told<<E' >> $GITHUB_OUTPUT; false"),
        "other": steps("echo never", needs="middle"),
    }
    result = start(jobs)
    assert {name: job.result for name, job in result.jobs.items()} == {
        "first": "failure",
        "middle": "skipped",
        "other": "skipped",
        "last": "success",
    }
    assert "last saw skipped" in result.log


def test_outputs_are_read_as_the_runner_reads_them(start: Any) -> None:
    """Heredocs keep their lines; a delimiter that does not come fails the step."""
    good = {"id": "a", "run": "printf 'x=1=2\\ny<<END\\none\\n\\ntwo\\nEND\\n' >> $GITHUB_OUTPUT"}
    bad = {"id": "b", "run": "printf 'z<<END\\none\\n' >> $GITHUB_OUTPUT", "if": "always()"}
    outputs = {name: f"${{{{ steps.a.outputs.{name} }}}}" for name in "xy"}
    result = start({"it": {"steps": [good, bad], "outputs": outputs}})
    assert result.jobs["it"].outputs == {"x": "1=2", "y": "one\n\ntwo"}
    assert "Matching delimiter not found 'END'" in result.log
    assert result.failed


def test_what_is_secret_is_masked_everywhere(start: Any) -> None:
    script = "echo '::add-mask::pearl'; echo a pearl ${{ github.token }}; echo pearl >> $GITHUB_STEP_SUMMARY"
    result = start({"it": steps(script, "echo '::error::the pearl'")})
    assert "a *** ***" in result.log
    assert result.summary == "***\n"
    assert result.annotations[0]["message"] == "the ***"


def test_what_is_too_much_is_left_out(start: Any) -> None:
    """Ten annotations of a level for each step, and a summary of one mebibyte."""
    many = 'for n in $(seq 12); do echo "::error::$n"; done'
    long = "head -c 1100000 /dev/zero | tr '\\0' x >> $GITHUB_STEP_SUMMARY"
    result = start({"it": steps(many, long)})
    assert (len(result.annotations), result.dropped) == (11, 2)
    assert "upload aborted" in result.annotations[-1]["message"]
    assert result.summary == ""


def test_a_matrix_is_the_product_with_what_is_added_and_taken_away(start: Any) -> None:
    matrix = {
        "a": [1, 2],
        "b": ["x", "y"],
        "exclude": [{"a": 1, "b": "y"}],
        "include": [{"a": 2, "c": "more"}, {"a": 9}],
    }
    script = 'echo "cell $CELL of ${{ strategy.job-total }}"'
    job = {"strategy": {"matrix": matrix}, "steps": [{"run": script, "env": {"CELL": "${{ toJSON(matrix) }}"}}]}
    result = start({"it": job})
    assert result.jobs["it"].cells == 4
    assert '"c": "more"' in result.log
    assert "} of 4" in result.log


def test_a_step_cannot_set_what_is_the_runners(start: Any) -> None:
    result = start({"it": steps("echo GITHUB_REF=refs/heads/mine >> $GITHUB_ENV")})
    assert "Can't store GITHUB_REF" in result.log
    assert result.failed


REFUSED = [
    {"steps": [{"uses": "somebody/action@v1"}]},
    {"steps": [{"uses": "actions/checkout@v7", "with": {"submodules": "true"}}]},
    {"steps": [{"run": "echo", "shell": "pwsh"}]},
]


@pytest.mark.parametrize("job", REFUSED)
def test_what_it_does_not_know_it_refuses(start: Any, job: dict[str, Any]) -> None:
    result = start({"it": job})
    assert result.failed
    assert "known here" in result.log or "no such shell here" in result.log


@pytest.mark.parametrize(
    "job",
    [
        {"steps": [{"run": "echo ${{ nobody.knows }}"}]},
        {"steps": [{"run": "echo", "uses": "a/b@c"}]},
        {"steps": [{"run": "echo"}], "container": "debian"},
    ],
)
def test_a_file_that_github_would_refuse_is_an_error(start: Any, job: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        start({"it": job})


TRIGGERS = [
    ({"push": {"branches": ["main"]}}, "push", {"ref": "refs/heads/main"}, True),
    ({"push": {"branches": ["release/**", "!release/old"]}}, "push", {"ref": "refs/heads/main"}, False),
    ({"push": {"tags": ["*@v*"]}}, "push", {"ref": "refs/heads/main"}, False),
    ({"pull_request": {}}, "push", {"ref": "refs/heads/main"}, False),
    ({"release": {"types": ["published"]}}, "release", {"action": "edited", "release": {"tag_name": "v1"}}, False),
    (
        {"workflow_run": {"workflows": ["a"], "types": ["completed"]}},
        "workflow_run",
        {"workflow_run": {"name": "b"}},
        False,
    ),
]


@pytest.mark.parametrize(("on", "event", "payload", "started"), TRIGGERS)
def test_a_workflow_starts_by_its_own_events(
    start: Any, place: Place, on: Any, event: str, payload: dict[str, Any], *, started: bool
) -> None:
    place.tagged("v1")
    assert start({"it": steps("true")}, on, event, **payload).triggered is started


def test_a_checkout_has_no_more_than_was_asked_for(start: Any, place: Place) -> None:
    """One commit and no tag unless told otherwise; credentials stay unless told otherwise."""
    place.push({"more.txt": "1"})
    place.tagged("tiny@v1.0.0")
    look = "git rev-list --count HEAD; git tag; git config --get-regexp extraheader | wc -l"
    plain, full = {"uses": "actions/checkout@v7"}, {"fetch-depth": "0", "persist-credentials": "false"}
    result = start({"a": {"steps": [plain, {"run": look}]}, "b": {"steps": [{**plain, "with": full}, {"run": look}]}})
    lines = [line for line in result.log.splitlines() if not line.startswith(("##[", "checked out"))]
    assert lines == ["1", "1", "2", "tiny@v1.0.0", "0"]


def test_artifacts_go_from_job_to_job(start: Any) -> None:
    """By name or pattern; without hidden files; a second of the same name is refused."""
    up = {"uses": "actions/upload-artifact@v7", "with": {"name": "n-1", "path": "out"}}
    down = {"uses": "actions/download-artifact@v8", "with": {"pattern": "n-*", "path": "in"}}
    make = {"run": "mkdir -p out/deep; touch out/a.zip out/deep/b out/.hidden"}
    result = start(
        {
            "a": {"steps": [make, up, up]},
            "b": {"steps": [down, {"run": "find in -type f | sort"}], "needs": "a", "if": "always()"},
        }
    )
    assert "in/n-1/a.zip\nin/n-1/deep/b\n" in result.log
    assert "in/n-1/.hidden" not in result.log
    assert "(409) Conflict" in result.log
