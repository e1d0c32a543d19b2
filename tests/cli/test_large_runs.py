"""Runs that log more than a record should hold, through the real command."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.cli.conftest import CONFIG, TRAIN, Workplace

WRITES = TRAIN + "pathlib.Path('params.out').write_text(json.dumps({'blob': %s, 'small': 'x' * 4000}))\n"
CONFIGURED = CONFIG.replace("train.py\n", "train.py\n  params: [params.out]\n")


def recorded(project: Workplace) -> dict[str, Any]:
    [run] = json.loads(project.run("runs", "--json"))
    entity: dict[str, Any] = run["entity"]
    return entity


def test_a_param_of_5_mb_is_cut_to_its_beginning(project: Workplace) -> None:
    project.commit({"mlops.yaml": CONFIGURED, "train.py": WRITES % "'0123456789' * 500_000"})
    project.run("run")
    assert "nothing to compare with yet" in project.run("gate")
    run = recorded(project)
    digest = hashlib.sha256(b"0123456789" * 500_000).hexdigest()
    assert run["params"]["blob"] == "0123456789" * 400 + f"… (5,000,000 characters, sha256:{digest})"
    assert run["params"]["small"] == "x" * 4000
    assert run["warnings"] == ["param blob has 5,000,000 characters; its beginning is recorded"]


@pytest.mark.parametrize(
    "blob",
    [
        "'x ' * 1_995 + 'ghp_0123456789abcdefghijABCDEFGHIJ0123456789 ' + 'x' * 9_000",
        "'-----BEGIN RSA PRIVATE KEY-----' + 'ghp_0123456789 ' * 9_000",
    ],
    ids=["token", "key"],
)
def test_a_secret_at_the_cut_is_redacted_first(project: Workplace, blob: str) -> None:
    project.commit({"mlops.yaml": CONFIGURED, "train.py": WRITES % blob})
    project.run("run")
    kept = recorded(project)["params"]["blob"]
    assert "ghp_" not in kept
    assert "[redacted]" in kept


def test_events_that_our_own_logging_did_not_write_are_cut_too(project: Workplace) -> None:
    """Tracking cuts at 500 characters; whoever writes the folder by hand need not."""
    event = "json.dumps({'event': 'params', 'time': 1.0, 'values': {'blob': 'x' * 5_000_000}})"
    appends = (
        f"import os\nwith open(os.environ['MLOPS_RUN_DIR'] + '/events.jsonl', 'a') as file:\n    file.write({event})\n"
    )
    project.commit({"train.py": TRAIN + appends})
    project.run("run")
    assert "(5,000,000 characters, sha256:" in recorded(project)["params"]["blob"]


def test_a_long_secret_by_name_leaves_nothing(project: Workplace) -> None:
    project.commit({"mlops.yaml": CONFIGURED, "train.py": (WRITES % "'k' * 100_000").replace("blob", "api_key")})
    project.run("run")
    assert recorded(project)["params"]["api_key"] == "[redacted]"


def test_a_param_that_would_keep_a_search_for_secrets_busy_does_not(project: Workplace) -> None:
    """Each `eyJ` may begin a token that never comes: quadratic, were all of it searched."""
    project.commit({"mlops.yaml": CONFIGURED, "train.py": WRITES % "'-eyJaaaaaaaa' * 400_000"})
    project.run("run")
    assert "(4,800,000 characters, sha256:" in recorded(project)["params"]["blob"]


def test_2000_metrics_are_recorded_and_judged(project: Workplace) -> None:
    names = "{f'm{n}': n / 2000 for n in range(2000)}"
    project.commit(
        {"train.py": TRAIN + f"    run.log_metrics({names})\n", "mlops.yaml": CONFIG + "  - {metric: m1999, min: 1}\n"}
    )
    project.run("run")
    assert "m1999" in project.run("gate", expect=1)
    assert len(recorded(project)["metrics"]) == 2002


@pytest.mark.parametrize(("what", "call"), [("metrics", "log_metrics"), ("params", "log_params")])
def test_more_than_20000_names_are_refused_with_a_sentence(project: Workplace, what: str, call: str) -> None:
    project.commit({"train.py": TRAIN + f"    run.{call}({{f'm{{n}}': n for n in range(20_000)}})\n"})
    said = project.run("run", expect=2)
    number = 20_002 if what == "metrics" else 20_001
    assert f"this run has {number:,} {what}, and at most 20,000 are recorded" in said
    run = recorded(project)
    assert (run["status"], run["metrics"], run["params"]) == ("failed", {}, {})


def test_a_metrics_file_with_too_many_names_is_refused_too(project: Workplace) -> None:
    writes = "pathlib.Path('many.out').write_text(json.dumps({f'm{n}': n for n in range(20_001)}))\n"
    config = CONFIG.replace("train.py\n", "train.py\n  metrics: [many.out]\n")
    project.commit({"train.py": TRAIN + writes, "mlops.yaml": config})
    assert "at most 20,000 are recorded" in project.run("run", expect=2)
    assert recorded(project)["status"] == "failed"
