"""PyTorch: what is never loaded, because it would run more than arithmetic on tensors."""

from __future__ import annotations

import io
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mlops_ci import flavors
from mlops_ci.flavors import pytorch

pytestmark = pytest.mark.full
ROWS = torch.randn(7, 4).tolist()


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self):
        return (Path.touch, (self.at,))


def replaced(folder: Path, ending: str, change) -> None:
    """Give each file in the archive of *folder* whose name ends so what *change* makes of it."""
    path, old = folder / "model.pt2", folder / "old"
    shutil.move(path, old)
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content) if name.endswith(ending) else content)
    old.unlink()


def hostile(kind: str, at: Path):
    """The end of a file's name in the archive, and what makes *at* appear when it is used."""
    code = f"__import__('pathlib').Path('{at}').touch()"

    def pickled(_: bytes) -> bytes:
        buffer = io.BytesIO()
        torch.save((Trap(at),), buffer)
        return buffer.getvalue()

    def size(content: bytes) -> bytes:
        parsed = json.loads(content)
        for value in parsed["graph_module"]["graph"]["tensor_values"].values():
            for each in value["sizes"]:
                if "as_expr" in each:
                    each["as_expr"]["expr_str"] = code
        return json.dumps(parsed).encode()

    def call(content: bytes) -> bytes:
        parsed = json.loads(content)
        parsed["graph_module"]["graph"]["nodes"][0]["target"] = "torch.serialization.os.system"
        return json.dumps(parsed).encode()

    def weight(content: bytes) -> bytes:
        parsed = json.loads(content)
        for each in parsed["config"].values():
            each["use_pickle"] = True
        return json.dumps(parsed).encode()

    changes = {"pickle": pickled, "size": size, "call": call, "weight": weight}
    endings = {"pickle": "sample_inputs/model.pt", "weight": "model_weights_config.json"}
    return endings.get(kind, "models/model.json"), changes[kind]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("pickle", r"sample_inputs/model\.pt is a pickle of more than tensors"),
        ("size", "it has a size that is no arithmetic: __import__"),
        ("call", r"it calls torch\.serialization\.os\.system, which is no operator on tensors"),
        ("weight", "it has a constant that is pickled, and not a plain tensor"),
    ],
)
def test_a_hostile_program_is_refused(kind, sentence, folder, tmp_path):
    """Before PyTorch, which would run it, sees it."""
    pytorch.save_with_example(nn.Linear(4, 2), folder, ROWS)
    replaced(folder, *hostile(kind, tmp_path / "trapped"))
    with pytest.raises(ValueError, match=f"^model.pt2 cannot be loaded: ValueError: .*{sentence}"):
        pytorch.load(folder)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("kind", ["pickle", "size"])
def test_pytorch_itself_would_run_it(kind, folder, tmp_path):
    """Or the refusal above would prove nothing, and could go."""
    pytorch.save_with_example(nn.Linear(4, 2), folder, ROWS)
    replaced(folder, *hostile(kind, tmp_path / "trapped"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.export.load(folder / "model.pt2")
        except Exception as error:  # noqa: BLE001  # afterwards it may well fail
            print(error)  # noqa: T201
    assert (tmp_path / "trapped").exists()


def test_guards_are_not_run(folder, tmp_path):
    """They are Python in the archive."""
    pytorch.save_with_example(nn.Linear(4, 2), folder, ROWS)

    def change(content: bytes) -> bytes:
        parsed = json.loads(content)
        parsed["guards_code"] = [f"__import__('pathlib').Path('{tmp_path / 'trapped'}').touch() is None"]
        return json.dumps(parsed).encode()

    replaced(folder, "models/model.json", change)
    pytorch.predict(pytorch.load(folder), ROWS)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("what", ["module", "weights", "trap"])
def test_pickles_are_refused(what, folder, tmp_path):
    """Unread, with what to do instead."""
    model = nn.Linear(4, 2)
    torch.save(
        {"module": model, "weights": model.state_dict(), "trap": Trap(tmp_path / "trapped")}[what], folder / "m.pt"
    )
    assert flavors.detect_files(folder) == "pytorch"
    with pytest.raises(
        ValueError, match=r"^m.pt cannot be loaded: .*is a pickle, which can run any code: log the module"
    ):
        pytorch.load(folder)
    assert not (tmp_path / "trapped").exists()
