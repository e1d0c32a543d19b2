"""A tiny model, trained here, and the bundle that serves it: shared by the tests that start services."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from mlops_ci import digests
from mlops_ci.entities import ArtifactRef, Signature
from mlops_ci.release import Release, service_files

COLUMNS = ["mean radius", "mean texture", "class"]
EXAMPLE = [
    {"mean radius": 17.99, "mean texture": 10.38, "class": 1},
    {"mean radius": 9.5, "mean texture": 12, "class": 0},
]
SIGNATURE = Signature(
    inputs={
        "type": "object",
        "properties": {
            "mean radius": {"type": "number"},
            "mean texture": {"type": ["number", "null"]},
            "class": {"type": "integer"},
        },
        "required": COLUMNS,
    },
    outputs={"type": "integer"},
)


_FACTS: dict[str, Any] = {
    "project": "cancer-detection",
    "model": "cancer",
    "sha": "3f2a91c0" * 5,
    "version_record": "ab" * 32,
    "flavor": "sklearn",
    "signature": SIGNATURE,
    "requirements": ["scikit-learn==1.9.1"],
}


def train(folder: Path, threshold: float = 15.0) -> Any:
    """Train a classifier of *mean radius* against *threshold*, and save it into *folder* as the flavor expects."""
    import joblib  # noqa: PLC0415  # only tests that train pay for it
    import numpy as np  # noqa: PLC0415  # as above
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # as above

    random = np.random.default_rng(7)
    table = random.uniform(5, 25, size=(400, 3))
    model = LogisticRegression(max_iter=2000).fit(table, (table[:, 0] > threshold).astype(int))
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")
    (folder / "flavor.json").write_text(json.dumps({"flavor": "sklearn", "columns": COLUMNS}))
    answers = model.predict([[record[name] for name in COLUMNS] for record in EXAMPLE]).tolist()
    (folder / "input_example.json").write_text(json.dumps({"records": EXAMPLE, "predictions": answers}))
    return model


def sample_release(**changes: Any) -> Release:
    """A release whose model nobody needs to have trained."""
    file = ArtifactRef(path="model.joblib", digest="sha256:" + "0" * 64, size_bytes=895)
    plain = {
        **_FACTS,
        "model_digest": "sha256:" + "1" * 64,
        "files": [file],
        "version": "1.0.0",
        "tag": "cancer@v1.0.0",
    }
    return Release(**{**plain, **changes})


def release(model: Path, version: str = "1.0.0", **changes: Any) -> Release:
    """The release of the model folder *model*."""
    files = digests.of_files(model)
    facts = {"version": version, "tag": f"cancer@v{version}", "model_digest": digests.of_tree(files), "files": files}
    return Release(**{**_FACTS, **facts, **changes})


def write_bundle(bundle: Path, model: Path, of: Release, targets: dict[str, dict[str, str]] | None = None) -> Path:
    """Write `service/`, with the model, and `targets/` into *bundle*."""
    folders = {"service": service_files(of), **{f"targets/{name}": files for name, files in (targets or {}).items()}}
    for folder, files in folders.items():
        for name, text in files.items():
            place = bundle / folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    for file in of.files:
        place = bundle / "service/model" / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((model / file.path).read_bytes())
    return bundle


def free_port() -> int:
    """A port of the loopback address that nobody has right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(port: int, path: str, body: Any = None) -> tuple[int, Any]:
    """GET *path*, or POST *body* (JSON, or bytes as they are) to it; status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("POST", path, text, {"content-type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if said.strip() else None
    finally:
        connection.close()
