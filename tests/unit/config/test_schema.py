"""The JSON Schema says what the reader says."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from mlops_ci import config
from mlops_ci.errors import ConfigError

from .test_config import FULL, SMALLEST


@pytest.fixture(scope="module")
def validator():
    schema = config.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_every_key_is_described(validator):
    def bare(schema, path=()):
        for name, field in schema.get("properties", {}).items():
            if "description" not in field and "const" not in field:
                yield (*path, name)

    sections = {"": validator.schema} | validator.schema["$defs"]
    ours = ("", "Gate", "RunConfig", "ModelSource", "Registry", "Serving", "ApprovalRule")
    assert [found for name in ours for found in bare(sections[name], (name,))] == []


@pytest.mark.parametrize("text", [SMALLEST, FULL])
def test_what_the_reader_takes_the_schema_takes(validator, text):
    config.parse(text, "mlops.yaml")
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "modle: x",
        "version: 2",
        "store: oracle://x",
        "artifacts: s3://x",
        "gates: [accuracy]",
        "gates: [{min: 1}]",
        "gates: [{metric: a, max_drop: 5%%}]",
        "gates: [{metric: a, max_drop: -1}]",
        "gates: [{metric: a, min: yes}]",
        "run: {command: ' '}",
        "run: {command: []}",
        "run: {command: x, params: p.yaml}",
        "run: {command: x, data: {a b: c}}",
        "serving: {python: 3.10}",
        "serving: {port: 0}",
        "targets: {a: {port: 1}}",
        "targets: {a: {kind: locl}}",
        "targets: {a: {kind: local}}",
        "targets: {a: {kind: local, port: 1, replicas: 2}}",
        "targets: {a: {kind: kubernetes, replicas: none}}",
        "targets: {a: {kind: local, port: 1, approval: {required: 0}}}",
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(validator, text):
    with pytest.raises(ConfigError):
        config.parse(SMALLEST + text, "mlops.yaml")
    assert not validator.is_valid(yaml.safe_load(SMALLEST + text))
