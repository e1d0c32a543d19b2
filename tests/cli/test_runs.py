"""`mlops-ci runs`: find, compare and export, as a person does."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from .conftest import Workplace

TRAIN = """
import sys
import mlops_ci as mlops

accuracy = float(sys.argv[1])
with mlops.start_run() as run:
    run.log_params({"model": "rf" if accuracy > 0.75 else "xgb", "depth": 5})
    run.log_metrics({"accuracy": accuracy, "log_loss": 1 - accuracy})
    run.set_tag("team", "search")
"""
WAITING = """
import sys
import mlops_ci as mlops

with mlops.start_run() as run:
    run.log_metrics({"accuracy": 0.5})
    print("training", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def trained(project: Workplace) -> Workplace:
    """Three runs, of accuracy 0.7, 0.8 and 0.9."""
    config = (project.root / "mlops.yaml").read_text() + "store: sqlite:///mlops.db\n"
    project.commit({"train.py": TRAIN, "mlops.yaml": config, ".gitignore": "mlops.db*\n"})
    for accuracy in ("0.7", "0.8", "0.9"):
        project.run("run", "--", "python", "train.py", accuracy)
    return project


def ids(place: Workplace, *options: str) -> list[str]:
    return [run["entity"]["run_id"] for run in json.loads(place.run("runs", "--json", *options))]


def test_runs_are_filtered_sorted_and_shown_page_by_page(trained: Workplace) -> None:
    best, middle, worst = ids(trained, "--order-by", "metrics.accuracy")

    assert ids(trained, "-f", "metrics.accuracy > 0.75 and params.model = 'rf'") == [best, middle]
    assert ids(trained, "--order-by", "params.model asc, metrics.accuracy", "--ascending") == [middle, best, worst]
    assert ids(trained, "-f", "dirty or not dirty", "--status", "failed") == []
    assert ids(trained, "--experiment", "nowhere") == []
    first = trained.run("runs", "-n", "2")
    assert worst not in first
    cursor = re.search(r"there are more: --cursor (\S+) shows the next", first)
    assert cursor
    second = trained.run("runs", "-n", "2", "--cursor", cursor[1])
    assert worst in second
    assert best not in second
    assert len(ids(trained, "-n", "1", "--all-pages")) == 3


def test_a_filter_that_means_nothing_is_shown_with_its_place(trained: Workplace) -> None:
    for options in ((), ("--branch", "it's")):
        said = trained.run("runs", "-f", "metrics.accuracy > 'high'", *options, expect=2)

        assert said == (
            "mlops-ci: the filter cannot be read at character 20: metrics.accuracy is compared with a number\n"
            "  metrics.accuracy > 'high'\n"
            "                     ^\n"
        )
    assert "no run is like that" in trained.run("runs", "-f", "dirty", "--branch", "it's")
    assert "another query" in trained.run("runs", "--cursor", "abc", expect=2)


def test_a_run_is_found_by_what_was_changed_of_it(trained: Workplace) -> None:
    best, middle, worst = ids(trained, "--order-by", "metrics.accuracy")

    trained.run("runs", "tag", middle, "stage=candidate")
    trained.run("runs", "delete", worst)

    assert ids(trained, "-f", "tags.stage = 'candidate'") == [middle]
    assert worst not in ids(trained)
    assert worst in ids(trained, "--deleted")
    assert "finished, deleted" in trained.run("runs", "--deleted")
    assert "stage" in trained.run("runs", "show", middle)
    assert ids(trained, "-f", f"run_id = '{best}'") == [best]


def test_the_best_run_by_the_gates_metric_or_another(trained: Workplace) -> None:
    best, _, worst = ids(trained, "--order-by", "metrics.accuracy")

    assert best in trained.run("runs", "best")
    assert best in trained.run("runs", "best", "--metric", "log_loss")
    assert worst in trained.run("runs", "best", "--metric", "log_loss", "--better", "higher")
    assert "is a higher or a lower odd better?" in trained.run("runs", "best", "-m", "odd", expect=2)
    assert "no finished run has a finite odd" in trained.run("runs", "best", "-m", "odd", "--better", "lower")


def test_runs_side_by_side(trained: Workplace) -> None:
    best, middle, worst = ids(trained, "--order-by", "metrics.accuracy")

    said = trained.run("runs", "compare", best[:8], worst)
    assert re.search(r"metric +accuracy +0\.9 \* +0\.7\n", said)
    assert re.search(r"param +model +rf +xgb\n", said)
    assert "depth" not in said
    assert re.search(r"param +depth +5 +5\n", trained.run("runs", "compare", best, worst, "--all"))
    compared = json.loads(trained.run("runs", "compare", "-f", "params.model = 'rf'", "--json"))
    assert compared["runs"] == [best, middle]
    [accuracy] = [line for line in compared["lines"] if line["name"] == "accuracy"]
    assert (accuracy["values"], accuracy["best"]) == ([0.9, 0.8], [0])
    assert "named or filtered, not both" in trained.run("runs", "compare", best, "-f", "dirty", expect=2)


def test_runs_in_a_file(trained: Workplace) -> None:
    assert trained.run("runs", "export", "-o", "best.csv", "-f", "metrics.accuracy > 0.85") == "1 run is in best.csv\n"
    header, line = (trained.root / "best.csv").read_text().splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["metrics.accuracy"] == "0.9"
    assert "what format is" in trained.run("runs", "export", "-o", "runs.txt", expect=2)
    assert trained.run("runs", "export", "-o", "runs.txt", "--format", "jsonl") == "3 runs are in runs.txt\n"


def test_a_run_that_still_goes_stands_on_top(trained: Workplace) -> None:
    (trained.root / "waiting.py").write_text(WAITING)
    training = subprocess.Popen(
        [sys.executable, "-m", "mlops_ci", "run", "--", sys.executable, "waiting.py"],
        cwd=trained.root,
        env=trained.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert training.stdin
    assert training.stdout
    while "training" not in training.stdout.readline():
        assert training.poll() is None

    lines = [line for line in trained.run("runs").splitlines() if re.match(r" *[0-9a-f]{16} ", line)]
    alone = trained.run("runs", "--status", "running")
    filtered = trained.run("runs", "-f", "not dirty or dirty")
    [machine] = json.loads(trained.run("runs", "--status", "running", "--json"))
    training.communicate("go\n", timeout=60)

    assert len(lines) == 4
    assert "running" in lines[0]
    assert "accuracy 0.5" in lines[0]
    assert machine["metrics"] == {"accuracy": 0.5}
    assert "running" in alone
    assert "finished" not in alone
    assert "running" not in filtered
    assert "running" not in trained.run("runs")


def test_a_narrow_terminal_shows_it_all(trained: Workplace) -> None:
    """Through a real terminal of 80 columns."""
    wide = {**trained.env, "COLUMNS": "80", "TERM": "xterm"}
    for words in (["runs"], ["runs", "compare", "-f", ""], ["runs", "best"]):
        ours, theirs = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "mlops_ci", *words], cwd=trained.root, env=wide, stdout=theirs, check=False
        )
        os.close(theirs)
        shown = _drain(ours)
        assert done.returncode == 0
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
        assert "0.9" in shown


def _drain(handle: int) -> str:
    found = b""
    try:
        while chunk := os.read(handle, 4096):
            found += chunk
    except OSError:  # how Linux says that a terminal was closed
        pass
    finally:
        os.close(handle)
    return found.decode()


def test_without_a_network_what_is_known_here_is_shown(project: Workplace) -> None:
    project.commit({"train.py": TRAIN.replace("sys.argv[1]", "0.8")})
    project.push()
    project.run("run")
    [before] = ids(project)
    project.remote.rename(project.remote.with_name("away.git"))
    project.commit({"notes.md": "offline\n"})
    project.run("run")
    said = project.run("runs")
    assert "what follows is what is known here" in said
    assert before in said
    assert len([line for line in said.splitlines() if " finished " in line]) == 2
