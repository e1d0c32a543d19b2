"""
The services of one scikit-learn model: ours in their variants, the peers', and the limit.

Each is one process with one worker, and its native libraries compute in one thread. Each gets the same record in its
own format: ours by the names of the columns, the others as a row of numbers, which is the quickest that they
document; the limit once so, and once by the names. Each answers with the class. Ours, FastAPI and the limit log no
access; MLflow and BentoML do what they do unless told otherwise.
"""

from __future__ import annotations

import csv
import gzip
import http.client
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.processes import Tree
from benchmarks.repositories import BIN, environment
from mlops_ci import flavors
from mlops_ci.entities import Signature
from mlops_ci.flavors import tables
from mlops_ci.resources import PACKAGE
from tests.integration import served_model
from tests.integration.served_model import free_port

PEERS = Path(__file__).parent / "serving_peers"
DATA = PACKAGE.parent / "templates/project/example/data/breast_cancer.csv.gz"
_START_S = 120.0


@dataclass(frozen=True)
class Trained:
    """
    The model, once as scikit-learn's and once as ONNX, in folders as the flavors expect them.

    *rows* are two that it answers differently, with *labels*; *sentence* says how exact the conversion is.
    """

    estimator: Any
    columns: list[str]
    rows: list[list[float]]
    labels: list[int]
    sklearn: Path
    onnx: Path
    sentence: str

    @property
    def records(self) -> list[dict[str, float]]:
        """*rows* with the names of the columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    @property
    def signature(self) -> Signature:
        """What ours checks records against."""
        numbers = {name: {"type": "number"} for name in self.columns}
        inputs = {"type": "object", "properties": numbers, "required": self.columns}
        return Signature(inputs=inputs, outputs={"type": "integer"})


@dataclass(frozen=True)
class Contender:
    """
    A service that runs.

    Attributes:
        name: In the tables.
        port: Of the loopback address.
        path: Where it predicts.
        ask: Makes the body for a row of the model, by its number.
        read: Finds the class in an answer.
        tree: Its processes.
    """

    name: str
    port: int
    path: str
    ask: Callable[[int], Any]
    read: Callable[[Any], Any]
    tree: Tree

    @property
    def url(self) -> str:
        """Where it predicts."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def body(self, number: int = 0) -> bytes:
        """What it is sent for a row of the model."""
        return json.dumps(self.ask(number), separators=(",", ":")).encode()

    def wait(self) -> None:
        """Wait until it answers at all."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            self.tree.demand()
            with suppress(OSError, http.client.HTTPException):
                if self._post(self.body())[0] == 200:
                    return
            time.sleep(0.2)
        raise SystemExit(f"{self.name} does not answer: {self.tree.log.read_text('utf-8', 'replace')[-2000:]}")

    def demand(self, labels: Sequence[int]) -> bytes:
        """Stop everything unless it knows the class of each row; the answer to the first."""
        answers = [self._post(self.body(number)) for number in range(len(labels))]
        for (status, answer), label in zip(answers, labels, strict=True):
            if status != 200 or self.read(json.loads(answer)) != label:
                raise SystemExit(f"{self.name} answered {status} {answer[:500]!r}, where the class is {label}")
        return answers[0][1]

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", self.path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def fit(data: Path, strength: float = 1.0) -> tuple[Any, list[str], Any]:
    """The pipeline of the example project, fitted on all of *data*; its columns, and the table."""
    import numpy as np  # noqa: PLC0415  # only these benchmarks pay
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # as above
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415  # as above
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415  # as above

    with gzip.open(data, "rt", encoding="utf-8") as file:
        content = list(csv.DictReader(file))
    columns = [name for name in content[0] if name != "target"]
    table = np.array([[float(line[name]) for name in columns] for line in content])
    target = np.array([int(line["target"]) for line in content])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return model.fit(table, target), columns, table


def train(folder: Path) -> Trained:
    """Fit the model of the example project on all of its data, and convert it."""
    from mlops_ci.tracking import convert  # noqa: PLC0415  # only these benchmarks pay

    model, columns, table = fit(DATA)
    said = model.predict(table).tolist()
    numbers = [said.index(0), said.index(1)]
    rows, labels = [table[number].tolist() for number in numbers], [0, 1]
    example = [dict(zip(columns, row, strict=True)) for row in rows]
    for name in ("sklearn", "onnx"):
        (folder / name).mkdir(parents=True)
        (folder / name / "input_example.json").write_text(json.dumps({"records": example, "predictions": labels}))
    flavors.find("sklearn").save(model, folder / "sklearn")
    tables.remember(folder / "sklearn", flavor="sklearn", columns=columns)
    whole = [dict(zip(columns, row, strict=True)) for row in table.tolist()]
    outcome = convert.to_onnx("sklearn", folder / "sklearn", whole, folder / "onnx")
    tables.remember(folder / "onnx", flavor="onnx")
    sentence = outcome.sentence("scikit-learn")
    return Trained(model, columns, rows, labels, folder / "sklearn", folder / "onnx", sentence)


@contextmanager
def started(folder: Path, trained: Trained, names: Sequence[str] = ()) -> Iterator[dict[str, Contender]]:
    """All contenders, or those of *names*, once each has answered rightly; all are ended afterwards."""
    with ExitStack() as stack:
        found = {}
        for number, (name, start) in enumerate(CONTENDERS.items()):
            if not names or name in names:
                place = folder / f"contender-{number}"
                place.mkdir(parents=True)
                found[name] = contender = start(name, place, trained)
                stack.callback(contender.tree.end)
        for contender in found.values():
            contender.wait()
            contender.demand(trained.labels)
        yield found


def _ours(flavor: str, runtime: str, *, bentoml_serve: bool = False) -> Callable[[str, Path, Trained], Contender]:
    def start(name: str, folder: Path, trained: Trained) -> Contender:
        model = trained.onnx if flavor == "onnx" else trained.sklearn
        facts: dict[str, Any] = {
            "flavor": flavor,
            "runtime": runtime,
            "signature": trained.signature,
            "requirements": [],
        }
        release = served_model.release(model, **facts)
        service = served_model.write_bundle(folder / "bundle", model, release) / "service"
        port = str(free_port())
        words = [str(BIN / "python"), "-m", "serving", "--port", port]
        if bentoml_serve:
            words = [str(BIN / "bentoml"), "serve", "service:Service", "--host", "127.0.0.1", "--port", port]
        tree = _start(words, service, folder)

        def ask(number: int) -> Any:
            return {"records": [trained.records[number]]}

        return Contender(name, int(port), "/predict", ask, _first_prediction, tree)

    return start


def _mlflow(name: str, folder: Path, trained: Trained) -> Contender:
    import mlflow.sklearn  # noqa: PLC0415  # some seconds that only this pays
    import numpy as np  # noqa: PLC0415  # as above

    rows = np.array(trained.rows)
    signature = mlflow.models.infer_signature(rows, trained.estimator.predict(rows))
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it misses a pip that nobody needs here
    needed = {"signature": signature, "pip_requirements": ["scikit-learn"]}
    mlflow.sklearn.save_model(trained.estimator, str(folder / "model"), **needed)
    port = str(free_port())
    words = [str(BIN / "mlflow"), "models", "serve", "--model-uri", str(folder / "model"), "--env-manager", "local"]
    tree = _start([*words, "--host", "127.0.0.1", "--port", port, "--workers", "1"], folder, folder)
    return Contender(
        name,
        int(port),
        "/invocations",
        lambda number: {"inputs": [trained.rows[number]]},
        _first_prediction,
        tree,
    )


def _bentoml(name: str, folder: Path, trained: Trained) -> Contender:
    _joblib(folder, trained)
    shutil.copy(PEERS / "bentoml_service.py", folder / "service.py")
    port = str(free_port())
    words = [str(BIN / "bentoml"), "serve", "service:Classifier", "--host", "127.0.0.1", "--port", port]
    tree = _start(words, folder, folder)
    return Contender(
        name, int(port), "/classify", lambda number: {"rows": [trained.rows[number]]}, lambda said: said[0], tree
    )


def _fastapi(name: str, folder: Path, trained: Trained) -> Contender:
    _joblib(folder, trained)
    return _uvicorn(name, folder, trained, "fastapi_app")


def _limit(name: str, folder: Path, trained: Trained) -> Contender:
    shutil.copy(trained.onnx / "model.onnx", folder)
    return _uvicorn(name, folder, trained, "limit", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off")


def _limit_by_names(name: str, folder: Path, trained: Trained) -> Contender:
    (folder / "columns.json").write_text(json.dumps(trained.columns))
    return replace(_limit(name, folder, trained), ask=lambda number: {"records": [trained.records[number]]})


def _uvicorn(name: str, folder: Path, trained: Trained, module: str, *options: str) -> Contender:
    shutil.copy(PEERS / f"{module}.py", folder)
    port = str(free_port())
    words = [str(BIN / "uvicorn"), f"{module}:app", "--host", "127.0.0.1", "--port", port, "--no-access-log", *options]
    tree = _start(words, folder, folder)
    return Contender(
        name, int(port), "/predict", lambda number: {"records": [trained.rows[number]]}, _first_prediction, tree
    )


def _first_prediction(said: Mapping[str, Any]) -> Any:
    return said["predictions"][0]


def _joblib(folder: Path, trained: Trained) -> None:
    import joblib  # noqa: PLC0415  # only these benchmarks pay

    joblib.dump(trained.estimator, folder / "model.joblib")


def _start(words: Sequence[str], cwd: Path, folder: Path) -> Tree:
    env = {
        **environment(),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder / "bentoml"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return Tree(words, cwd, env, folder / "log")


OURS_SKLEARN = "mlops-ci, bentoml, sklearn"
OURS_ONNX = "mlops-ci, bentoml, ONNX"
ASGI_SKLEARN = "mlops-ci, asgi, sklearn"
ASGI_ONNX = "mlops-ci, asgi, ONNX"
BENTOML_SERVE = "mlops-ci under bentoml serve, ONNX"
MLFLOW = "mlflow models serve"
BENTOML = "BentoML"
FASTAPI = "FastAPI + uvicorn"
LIMIT = "uvicorn + orjson + ONNX Runtime"
LIMIT_BY_NAMES = "uvicorn + orjson + ONNX, by names"

CONTENDERS = {
    OURS_SKLEARN: _ours("sklearn", "bentoml"),
    OURS_ONNX: _ours("onnx", "bentoml"),
    ASGI_SKLEARN: _ours("sklearn", "asgi"),
    ASGI_ONNX: _ours("onnx", "asgi"),
    BENTOML_SERVE: _ours("onnx", "bentoml", bentoml_serve=True),
    MLFLOW: _mlflow,
    BENTOML: _bentoml,
    FASTAPI: _fastapi,
    LIMIT: _limit,
    LIMIT_BY_NAMES: _limit_by_names,
}
