"""A real model, served by BentoML as a process of this machine, from the first version to the last."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.targets import Ask, Order, Smoke, nothing_to_smoke
from mlops_ci.targets.local import LocalOptions, LocalTarget
from tests.integration import served_model
from tests.integration.served_model import call, free_port

BETWEEN = [{"mean radius": 12.0, "mean texture": 10.0, "class": 0}]
"""Between the thresholds of the two models, which tell it differently."""


@pytest.mark.full
def test_the_life_of_a_target(tmp_path: Path) -> None:
    """Deployed, replaced, rolled back, killed, started again, removed; each answer is the right model's."""
    port = free_port()
    target = LocalTarget(
        "staging", LocalOptions(port=port, start_timeout_s=60), project="cancer", state=tmp_path / "state"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    expected = {
        "1.0.0": served_model.train(first, threshold=15).predict([[12.0, 10.0, 0]]).tolist(),
        "2.0.0": served_model.train(second, threshold=9).predict([[12.0, 10.0, 0]]).tolist(),
    }
    assert expected == {"1.0.0": [0], "2.0.0": [1]}

    def order(version: str, model: Path) -> Order:
        release = served_model.release(model, version)
        bundle = served_model.write_bundle(tmp_path / version, model, release)
        return Order(files=target.render(release), service=bundle / "service")

    def answers(version: str) -> None:
        status, answer = call(port, "/predict", {"records": BETWEEN})
        assert (status, answer["predictions"], answer["version"]) == (200, expected[version], version)

    try:
        deploy(target, first_order := order("1.0.0", first))
        answers("1.0.0")
        deploy(target, second_order := order("2.0.0", second))
        answers("2.0.0")
        broken = order("3.0.0", second)
        assert broken.service is not None
        (broken.service / "model/model.joblib").write_bytes(b"swapped")
        with pytest.raises(ServiceError, match=r"model\.joblib is not the file "):
            deploy(target, broken, before=second_order)
        answers("2.0.0")
        with pytest.raises(ServiceError, match="the wrong answer"):
            deploy(target, first_order, before=second_order, smoke=disappointed)
        answers("2.0.0")
        os.kill(pid_of(target, tmp_path), signal.SIGKILL)
        deploy(target, second_order)
        answers("2.0.0")
    finally:
        removed = target.remove()
    assert removed
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in working_folder(path)]


def deploy(target: LocalTarget, order: Order, before: Order | None = None, smoke: Smoke = nothing_to_smoke) -> None:
    """Deploy *order*, or go back to *before*."""
    with target.lock("ann@example.org"):
        target.apply(order)
        try:
            target.wait(order)
            target.verify(order, smoke)
        except ServiceError:
            target.rollback(before)
            assert before is not None
            target.wait(before)
            target.verify(before)
            raise


def disappointed(ask: Ask) -> None:
    """What a smoke test says of a service that runs and is wrong."""
    assert ask("/metadata", None).status == 200
    raise ServiceError("the service gave the wrong answer")


def pid_of(target: LocalTarget, folder: Path) -> int:
    """The number of the process that the state names."""
    assert target.status() is not None
    recorded: Any = json.loads((folder / "state/process.json").read_bytes())
    return int(recorded["handle"]["pid"])


def working_folder(cmdline: Path) -> str:
    """Where a process works, "" if it cannot be seen."""
    try:
        return str((cmdline.parent / "cwd").readlink())
    except OSError:
        return ""
