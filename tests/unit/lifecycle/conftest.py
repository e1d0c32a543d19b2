"""The scene of deployments; see `scenes`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.repositories import ENVIRONMENT, make_clone
from tests.unit.lifecycle.scenes import CONFIG, Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    for name, value in {**ENVIRONMENT, "MLOPS_STATE_HOME": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    for name in ("GITHUB_TOKEN", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, stdin=subprocess.DEVNULL
    )
    signers = f'lead@example.com namespaces="mlops-ci" {key.with_suffix(".pub").read_text()}'
    config = CONFIG.replace("PLACE", str(tmp_path / "place"))
    made = Scene(make_clone(tmp_path, {"mlops.yaml": config, ".mlops/allowed_signers": signers}), key)
    made.register("1.0.0")
    made.register("1.1.0")
    return made


@pytest.fixture
def live(scene: Scene) -> Scene:
    """1.1.0 is live in production, after 1.0.0; both were approved."""
    scene.deploy("1.0.0")
    scene.deploy("1.1.0")
    return scene
