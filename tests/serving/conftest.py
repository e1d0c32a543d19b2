"""Services for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration import served_model
from tests.serving.services import Serve, Service, python_model, serving


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of three columns, trained once."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    served_model.train(folder)
    return folder


@pytest.fixture(scope="module", params=["asgi", "bentoml"])
def typed(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Its service, of either runtime: whoever asks must not be able to tell."""
    with serving(tmp_path_factory.mktemp("typed"), model, runtime=request.param) as service:
        yield service


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve a model folder, or the `model.py` that is given as text, until the test ends."""
    with ExitStack() as stack:

        def start(model: Path | str, **options: Any) -> Service:
            folder = tmp_path / f"service-{len(list(tmp_path.glob('service-*')))}"
            if isinstance(model, str):
                example = options.pop("example", None)
                model = python_model(folder / "model", model, example=example)
                options = {"flavor": "python", "signature": None, "requirements": [], **options}
            return stack.enter_context(serving(folder / "bundle", model, **options))

        yield start
