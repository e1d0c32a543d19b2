"""`mlops-ci run --convert onnx`: what it says and records."""

from __future__ import annotations

import json

from .conftest import CONFIG, Workplace

TRAIN = """
import os
import numpy as np
import mlops_ci as mlops
from sklearn.linear_model import LogisticRegression

x = np.arange(200.0).reshape(100, 2)
with mlops.start_run() as run:
    run.log_metrics({"accuracy": 0.9})
    run.log_model(LogisticRegression(max_iter=999).fit(x, np.arange(100) > 50), input_example=x)
"""
BY_HAND = """
import pathlib
pathlib.Path("model.out").mkdir(exist_ok=True)
pathlib.Path("model.out/model.py").write_text("def predict(records):\\n    return records\\n")
pathlib.Path("metrics.json").write_text('{"accuracy": 0.9}')
"""


def run_of(place: Workplace, *options: str) -> dict:
    said = place.run("--quiet", "run", *options, "--json")
    return json.loads(said[said.index("{") :])["run"]


def test_a_model_is_converted_where_that_predicts_the_same(project: Workplace) -> None:
    project.commit({"train.py": TRAIN})

    said = project.run("run", "--convert", "onnx")

    assert "model  onnx, " in said
    assert "\n       converted from sklearn to ONNX; of 200 predictions compared, they differ nowhere\n" in said
    assert "warning" not in said
    assert run_of(project)["model"]["flavor"] == "sklearn"


def test_a_run_that_is_reused_is_one_that_was_converted(project: Workplace) -> None:
    project.commit({"train.py": TRAIN, "mlops.yaml": CONFIG.replace("run:\n", "run:\n  reuse: true\n")})
    native = run_of(project)

    converted = run_of(project, "--convert", "onnx")

    assert (native["model"]["flavor"], converted["model"]["flavor"]) == ("sklearn", "onnx")
    assert converted["run_id"] != native["run_id"]
    assert run_of(project, "--convert", "onnx")["run_id"] == converted["run_id"]


def test_what_was_not_converted_is_said(project: Workplace) -> None:
    said = project.run("run", "--convert", "onnx")
    assert "warning: nothing was converted to onnx: there is no model" in said

    project.commit({"train.py": TRAIN.replace(", input_example=x)", ")")})
    said = project.run("run", "--convert", "onnx")
    assert "log_model: not converted to ONNX: there is no input example to compare the predictions on" in said
    assert "only one that log_model keeps" not in said

    config = CONFIG.replace("train.py\n", "train.py\n  metrics: [metrics.json]\n  model: {path: model.out}\n")
    project.commit({"train.py": BY_HAND, "mlops.yaml": config, ".gitignore": "*.out\nmetrics.json\n"})
    said = project.run("run", "--convert", "onnx")
    assert "warning: the model was not converted to onnx: only one that log_model keeps can be" in said

    said = project.run("run", "--convert", "tflite", expect=2)
    assert "Invalid value for '--convert': 'tflite' is not 'onnx'" in said
