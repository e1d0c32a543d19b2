"""A project whose versions have images in the cluster's registry, and the real command to deploy them with."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_ci import records
from mlops_ci.entities import ArtifactRef, Image
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.project import Project
from tests.cli.conftest import CONFIG, TRAIN, Workplace, _workplace
from tests.cluster.images import push_service
from tests.repositories import git, make_clone

MODEL = """
class Factor:
    def __init__(self, factor, lies):
        self.factor, self.lies, self.asked = factor, lies, 0

    def predict(self, records):
        # A service asks for the model's own example before it is ready.
        self.asked += 1
        wrong = 1 if self.lies and self.asked > 2 else 0
        return [record["x"] * self.factor + wrong for record in records]
"""
TRAIN_FACTOR = (
    TRAIN.replace("params =", "from model import Factor\nparams =")
    + "    model = Factor(params['accuracy'], params.get('lies', False))\n"
    + "    run.log_model(model, input_example=[{'x': 1.0}, {'x': 2.0}])\n"
)
RESOURCES = "{cpu: 300m, memory: 128Mi}"
OPTIONS = f'kind: kubernetes, kubernetes: "1.20", replicas: 1, start_timeout_s: 60, resources: {RESOURCES}'


class Shop:
    """The project churn with *targets*, each a namespace of its own whose name begins with *prefix*."""

    def __init__(self, folder: Path, registry: str, kubeconfig: Path, prefix: str, targets: Sequence[str]) -> None:
        self.image = f"{registry}/mlops-ci-tests/{prefix}"
        self.prefix = prefix
        lines = "".join(f"  {name}: {{{OPTIONS}, namespace: {self.namespace(name)}}}\n" for name in targets)
        serving = f"serving: {{runtime: asgi, image: {self.image}, drain_s: 1, timeout_s: 5}}\n"
        files = {
            "train.py": TRAIN_FACTOR,
            "model.py": MODEL,
            "params.json": '{"accuracy": 0.9}',
            "mlops.yaml": f"{CONFIG}{serving}targets:\n{lines}",
            ".gitignore": "*.out\nbuild/\n",
        }
        made = _workplace(make_clone(folder, files), folder)
        self.place = Workplace(made.root, {**made.env, "KUBECONFIG": str(kubeconfig)})

    def namespace(self, target: str) -> str:
        """Where *target* is."""
        return f"{self.prefix}-{target}"

    def release(self, version: str, *, image: bool = True, **params: Any) -> str:
        """Train, tag and register *version*; push and record an image, as `mlops-ci build --push`; its reference."""
        self.place.commit({"params.json": json.dumps({"accuracy": 0.9, "version": version, **params})})
        self.place.run("run")
        git(self.place.root, "tag", f"churn@v{version}")
        self.place.push("HEAD:main", f"churn@v{version}")
        self.place.run("register", f"churn@v{version}")
        if not image:
            return ""
        self.place.run("render", version, "-o", f"build/{version}", "--with-model")
        pushed = push_service(self.image, self.place.root / "build" / version / "service")
        self.record_image(version, pushed.partition("@")[2])
        return pushed

    def record_image(self, version: str, digest: str) -> None:
        """Record what a build would have: that *version* has the image *digest*."""
        project = Project.open(self.place.root)
        found, record = find_version(project.ledger, project.config, version)
        nothing = ArtifactRef(path="x", digest="sha256:" + "0" * 64, size_bytes=0)
        image = Image(
            model=found.model,
            version=version,
            version_record=record.id,
            reference=f"{self.image}:{version}",
            image_id=digest,
            digest=digest,
            size_bytes=1,
            base="tests",
            platform="linux/amd64",
            builder="tests",
            builder_version=sys.version.split()[0],
            context_digest=nothing.digest,
            lock_inputs=nothing.digest,
            lock=nothing,
            sbom=nothing,
            pushed=True,
        )
        project.ledger.append([records.new(image, author=project.author)])

    def run(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        """The real command."""
        return self.place.run(*arguments, expect=expect, **variables)

    def history(self, target: str) -> list[dict[str, Any]]:
        """The deployments to *target*, newest first."""
        found = json.loads(self.run("deployments", "--target", target, "--json"))
        return [{"id": one["record"], "serving": one["serving"], **one["deployment"]} for one in found]
