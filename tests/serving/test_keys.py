"""API keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.served_model import EXAMPLE
from tests.serving.services import Serve, Service, rendered

KEYS = ["0123456789abcdef", "fedcba9876543210-second"]
DEMANDED = {"api_keys": True}


def test_only_who_has_a_key_is_answered(model: Path, serve: Serve) -> None:
    service = serve(model, settings=DEMANDED, environment={"MLOPS_API_KEYS": ",".join(KEYS)})
    for headers in (
        {},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer " + KEYS[0][:-1]},
        {"Authorization": KEYS[0] + "x"},
    ):
        answer = service.predict(*EXAMPLE, headers=headers)
        assert answer.status == 401
        assert KEYS[0] not in answer.body.decode()
    for headers in ({"X-API-Key": KEYS[0]}, {"Authorization": f"Bearer {KEYS[1]}"}):
        assert service.predict(*EXAMPLE, headers=headers).status == 200
    for path in ("/metadata", "/openapi.json", "/v2/models/cancer", "/api/Prediction"):
        assert service.ask(path).status in {401, 405}
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/v2/health/ready"):
        assert service.ask(path).status == 200
    assert service.metric("mlops_rejected_total", reason="unauthorized") >= 4


def test_a_key_can_be_exchanged_while_it_runs(model: Path, serve: Serve, tmp_path: Path) -> None:
    """As a mounted secret is; a file that is broken meanwhile changes nothing."""
    path = tmp_path / "keys"
    path.write_text(f"{KEYS[0]}\n")
    service = serve(model, settings=DEMANDED, environment={"MLOPS_API_KEYS_FILE": str(path)})
    assert service.predict(*EXAMPLE, headers={"X-API-Key": KEYS[0]}).status == 200
    path.write_text("short\n")
    assert service.predict(*EXAMPLE, headers={"X-API-Key": KEYS[0]}).status == 200
    path.unlink()
    assert service.predict(*EXAMPLE, headers={"X-API-Key": KEYS[0]}).status == 200
    path.write_text(f"{KEYS[1]}\n")
    assert service.predict(*EXAMPLE, headers={"X-API-Key": KEYS[0]}).status == 401
    assert service.predict(*EXAMPLE, headers={"X-API-Key": KEYS[1]}).status == 200


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "API keys are demanded, and neither MLOPS_API_KEYS nor MLOPS_API_KEYS_FILE has one"),
        ({"MLOPS_API_KEYS": "secret"}, "an API key has 6 characters, and 16 are the least"),
        ({"MLOPS_API_KEYS_FILE": "/nowhere"}, "the file of MLOPS_API_KEYS_FILE cannot be read"),
    ],
)
def test_without_keys_it_does_not_start(model: Path, tmp_path: Path, environment: dict[str, str], says: str) -> None:
    service = Service(rendered(tmp_path / "bundle", model, settings=DEMANDED), environment=environment)
    assert service.process.wait(60) == 1
    assert f"this service does not start: {says}" in service.log
    assert "secret" not in service.log
