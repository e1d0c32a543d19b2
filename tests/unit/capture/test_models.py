"""A saved model is described by its files, and never loaded."""

from __future__ import annotations

import pytest

from mlops_ci import digests
from mlops_ci.capture import models
from mlops_ci.errors import ConfigError, InputError

BOMB = b"cos\nsystem\n(S'touch exploded'\ntR."


def test_a_model_is_not_unpickled(tmp_path, monkeypatch):
    """What is in it would run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.joblib").write_bytes(BOMB)
    found = models.describe(tmp_path / "model.joblib", None)
    assert found.flavor == "sklearn"
    assert [file.path for file in found.files] == ["model.joblib"]
    assert found.digest == digests.of_tree(found.files)
    assert not (tmp_path / "exploded").exists()


def test_a_folder_is_described_with_its_papers(tmp_path):
    """Comments are no requirements, and bytecode is no part of the model."""
    (tmp_path / "model.py").write_text("def predict(records): ...")
    (tmp_path / "requirements.txt").write_text("# ours\nnumpy==2.0  \n\n")
    (tmp_path / "signature.json").write_text('{"inputs": {"type": "object"}, "outputs": {}}')
    (tmp_path / "input_example.json").write_text('{"records": [1]}')
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "model.pyc").write_bytes(b"x")
    found = models.describe(tmp_path, None)
    assert found.flavor == "python"
    assert found.requirements == ["numpy==2.0"]
    assert found.signature
    assert found.signature.inputs == {"type": "object"}
    assert found.input_example
    assert found.input_example.path == "input_example.json"
    assert [file.path for file in found.files] == sorted(
        ["input_example.json", "model.py", "requirements.txt", "signature.json"]
    )
    assert found.size_bytes == sum(file.size_bytes for file in found.files)


def test_the_configured_flavor_counts(tmp_path):
    """Where files do not tell; a wrong name gets a guess."""
    (tmp_path / "weights.bin").write_bytes(b"1")
    with pytest.raises(InputError, match="not a model of a known flavor"):
        models.describe(tmp_path, None)
    assert models.describe(tmp_path, "python").flavor == "python"
    with pytest.raises(ConfigError, match="unknown flavor 'sklaern'") as caught:
        models.describe(tmp_path, "sklaern")
    assert "did you mean 'sklearn'?" in caught.value.hint


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    """An empty folder too."""
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(InputError, match="there is no model in"):
            models.describe(path, None)


@pytest.mark.parametrize("text", ["", "[]", '{"inputs": 3}', '{"inputs": {}}'])
def test_a_malformed_signature_is_one_sentence(tmp_path, text):
    """That names the file."""
    (tmp_path / "model.py").touch()
    (tmp_path / "signature.json").write_text(text)
    with pytest.raises(InputError, match=r"signature\.json is no signature: "):
        models.describe(tmp_path, None)


def test_a_malformed_flavor_file_is_one_sentence(tmp_path):
    """It says who can load the model."""
    (tmp_path / "flavor.json").write_text('{"flavor": "theano"}')
    with pytest.raises(InputError, match="there is no flavor 'theano'"):
        models.describe(tmp_path, None)
