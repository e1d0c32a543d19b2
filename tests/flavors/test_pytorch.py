"""PyTorch: each way to save a module, what a service then answers, and what is never loaded."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from mlops_ci import flavors
from mlops_ci.flavors import pytorch, tables

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")]
torch.manual_seed(0)
FACTOR = 1


class Net(nn.Module):
    """A network of the user's own."""

    def __init__(self, hidden: int, out: int = 3) -> None:
        super().__init__()
        self.hidden = hidden
        self.out = out
        self.layers = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(0.9), nn.Linear(hidden, out))

    def forward(self, x):
        return torch.softmax(self.layers(x), dim=-1)


class Words(nn.Module):
    """A network that takes whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(20, 2)

    def forward(self, words):
        return {"scores": self.table(words), "sums": words.sum(dim=1)}


class Two(nn.Module):
    """A network of two inputs, and of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.user = nn.Embedding(5, 3)
        self.item = nn.Linear(2, 3)

    def forward(self, user, item):
        product = self.user(user) * self.item(item)
        return product.sum(dim=-1), product


class Branches(nn.Module):
    """A network whose way depends on its input: only a compiler can follow it."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.weights = nn.Linear(2, 2)

    def forward(self, x):
        rows = [self.weights(row) if row.sum() > self.limit else -row for row in x.unbind()]
        return torch.stack(rows)


class Outside(nn.Module):
    """A network that leaves PyTorch on its way: it can only be run as Python."""

    def __init__(self, factor: float, size: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.weights = nn.Linear(size, size)

    def forward(self, x):
        order = np.argsort(x.numpy(), axis=1) * FACTOR
        return self.factor * self.weights(x) * torch.from_numpy(order)


class Forgets(nn.Module):
    """A network that keeps no constructor argument, and that cannot be compiled."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weights = nn.Linear(size, 2)

    def forward(self, x, **rest):
        return self.weights(x) if not rest else eval("x")  # noqa: S307


ROWS = torch.randn(7, 4).tolist()
NAMED = [dict(zip(("a", "b", "c", "d"), row, strict=True)) for row in ROWS]
PAIRS = [{"user": number % 5, "item": [0.5 * number, 1.0]} for number in range(6)]
CASES = {
    "array": (Net(8), ROWS, "model.pt2"),
    "columns": (Net(8), NAMED, "model.pt2"),
    "one": (Net(8), ROWS[:1], "model.pt2"),
    "torch's own": (nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), ROWS, "model.pt2"),
    "float64": (Net(8).double(), ROWS, "model.pt2"),
    "whole": (Words(), [[1, 2, 3], [4, 5, 19], [0, 0, 1]], "model.pt2"),
    "inputs": (Two(), PAIRS, "model.pt2"),
    "branches": (Branches(0.5), [[1.0, 2.0], [-1.0, 0.0], [0.5, 0.1]], "model.pt"),
    "outside": (Outside(0.5), [[1.0, 2.0], [-1.0, -2.0], [0.5, 0.1]], "module.json"),
}


def expected_of(model, records):
    """The answers of *model* itself, asked by hand."""
    model.eval()
    with torch.no_grad():
        if isinstance(model, Two):
            users, items = [each["user"] for each in records], [each["item"] for each in records]
            sums, products = model(torch.tensor(users), torch.tensor(items))
            return [list(pair) for pair in zip(sums.tolist(), products.tolist(), strict=True)]
        rows = [list(each.values()) if isinstance(each, dict) else each for each in records]
        if isinstance(model, Words):
            parts = model(torch.tensor(rows))
            return [{name: part[at].tolist() for name, part in parts.items()} for at in range(len(rows))]
        return model(torch.tensor(rows, dtype=next(model.parameters()).dtype)).tolist()


def flat(value):
    """The numbers in *value*, in its order."""
    if isinstance(value, dict):
        return [each for name in sorted(value) for each in flat(value[name])]
    return [each for part in value for each in flat(part)] if isinstance(value, list) else [value]


def save(model, folder, records=None):
    """As `log_model` saves."""
    if records is None:
        pytorch.save(model, folder)
    else:
        pytorch.save_with_example(model, folder, records)
        columns = {"columns": list(records[0])} if isinstance(records[0], dict) else {}
        tables.remember(folder, flavor="pytorch", **columns)


@pytest.mark.parametrize(("model", "records", "file"), CASES.values(), ids=CASES.keys())
def test_a_fresh_process_predicts_the_same(model, records, file, folder, ask):
    """All at once and each alone, whichever way the module was saved; and it trains on as it did."""
    model.train()
    save(model, folder, records)
    assert model.training
    assert (folder / file).is_file()
    answers, *alone = ask(folder, "pytorch", records, *([record] for record in records))
    assert len(answers) == len(records)
    assert flat(answers) == pytest.approx(flat(expected_of(model, records)), rel=1e-5, abs=1e-6)
    assert flat(alone) == pytest.approx(flat(answers), rel=1e-4, abs=1e-6)
    assert flavors.detect(model) == "pytorch"
    assert flavors.detect_files(folder) == "pytorch"


@pytest.mark.parametrize(
    ("model", "file"), [(Net(8), "model.pt"), (Outside(0.5), "module.json")], ids=["script", "code"]
)
def test_a_module_without_an_example_is_saved(model, file, folder, ask):
    """As TorchScript, or with its code; the constructor's arguments are attributes of the same names."""
    save(model, folder)
    rows = torch.randn(3, 4 if isinstance(model, Net) else 2).tolist()
    assert (folder / file).is_file()
    [answers] = ask(folder, "pytorch", rows)
    assert flat(answers) == pytest.approx(flat(expected_of(model, rows)), rel=1e-5, abs=1e-6)


def test_the_code_says_what_it_needs(folder):
    """`requirements.txt` has what the copied definition imports."""
    save(Outside(0.5), folder)
    found = (folder / "requirements.txt").read_text("utf-8").split()
    assert found == pytorch.requirements(folder)
    assert [line.partition("==")[0] for line in found] == ["numpy", "safetensors", "torch"]
    source = (folder / "module.py").read_text("utf-8")
    assert "class Outside" in source
    assert "class Net" not in source


def test_programs_and_torchscript_are_saved_as_they_are(tmp_path, ask):
    """With a batch of the size that the program allows, and inputs by keyword."""
    batch = torch.export.Dim("batch")
    x = torch.randn(3, 2)
    model = Two().eval()
    program = torch.export.export(
        model,
        (torch.tensor([0, 1, 2]),),
        {"item": x},
        dynamic_shapes={"user": {0: batch}, "item": {0: batch}},
    )
    for thing, name, records in ((program, "program", PAIRS), (torch.jit.script(Net(8).eval()), "script", ROWS)):
        folder = tmp_path / name / "model"
        folder.mkdir(parents=True)
        assert flavors.detect(thing) == "pytorch"
        save(thing, folder)
        [answers] = ask(folder, "pytorch", records)
        expected = expected_of(model, records) if name == "program" else thing(torch.tensor(records)).tolist()
        assert flat(answers) == pytest.approx(flat(expected), rel=1e-5, abs=1e-6)


def test_what_cannot_be_saved_is_one_sentence(folder):
    """That says what to do, and leaves nothing."""
    with pytest.raises(ValueError, match=r"Forgets can be saved in no way .*'size' is not known.*an input example"):
        save(Forgets(2), folder)
    with pytest.raises(ValueError, match=r"the model does not answer the input example: .*shape"):
        save(Net(8), folder, [[1.0, 2.0]])
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([[1.0, 2.0, 3.0]], r"^the model takes records of shape \[4\], not \[3\]$"),
        ([ROWS[0], [1.0, 2.0]], r"^record 1 is of shape \[2\], and the first of shape \[4\]$"),
        ([[1.0, 2.0, 3.0, "x"]], r"^record 0 is no array of numbers of one size$"),
        ([{"a": 1.0}], "^record 0 is an object, and the model was saved without column names: send each"),
        ([5.0], r"^the model takes records of shape \[4\], not \[\]$"),
    ],
)
def test_a_wrong_record_is_one_sentence(records, sentence, folder):
    """That says which, and what is wrong."""
    save(Net(8), folder, ROWS)
    with pytest.raises(ValueError, match=sentence):
        pytorch.predict(pytorch.load(folder), records)


def test_a_record_without_a_column_is_named(folder):
    """By its number."""
    save(Net(8), folder, NAMED)
    loaded = pytorch.load(folder)
    with pytest.raises(ValueError, match=r"^record 1 has no 'c'$"):
        pytorch.predict(loaded, [NAMED[0], {"a": 1, "b": 2, "d": 3}])


def test_whole_numbers_stay_whole(folder):
    """A null, or a part of one, is no word."""
    save(Words(), folder, [[1, 2, 3], [4, 5, 6]])
    loaded = pytorch.load(folder)
    with pytest.raises(ValueError, match=r"^record 1 is not whole, and 'words' takes whole numbers$"):
        pytorch.predict(loaded, [[1, 2, 3], [1, 2.5, 3]])
    with pytest.raises(ValueError, match=r"^record 0 has a null, and 'words' takes whole numbers$"):
        pytorch.predict(loaded, [[1, None, 3]])
    with pytest.raises(ValueError, match=r"^the model does not take records of shape \[3\]: "):
        pytorch.predict(loaded, [[1, 2, 999]])


def test_what_is_not_finite_is_null(folder, ask):
    """JSON has no other word for it."""
    save(nn.Linear(4, 1), folder, ROWS)
    [[answer]] = ask(folder, "pytorch", [[1.0, None, 2.0, 3.0]])
    assert answer == [None]


def test_a_service_has_one_thread_and_a_training_its_own(folder, ask):
    """Logging a model must not slow down the training that goes on."""
    torch.set_num_threads(2)
    save(Net(8), folder, ROWS)
    pytorch.load(folder)
    assert torch.get_num_threads() == 2
    _, told = ask(folder, "pytorch", ROWS, then="\nimport torch; print(torch.get_num_threads())")
    assert told == ["1"]


def test_the_requirement_has_no_local_version(folder):
    """Only PyTorch's own index has `+cpu`."""
    version = torch.__version__.partition("+")[0]
    save(Net(8), folder, ROWS)
    assert pytorch.requirements(Net(8)) == pytorch.requirements(folder)
    assert f"torch=={version}" in pytorch.requirements(folder)


def test_a_broken_or_missing_file_is_one_sentence(folder):
    """That names it."""
    with pytest.raises(FileNotFoundError, match=r"has no model\.pt2$"):
        pytorch.load(folder)
    for name in ("model.pt2", "model.pt"):
        (folder / name).write_bytes(pickle.dumps("no model"))
        with pytest.raises(ValueError, match=rf"^{name} cannot be loaded: BadZipFile: "):
            pytorch.load(folder)
        (folder / name).unlink()


def test_loading_writes_nothing(folder, ask):
    """The folder is verified file by file before it is loaded, again and again."""
    for model, records in ((Net(8), ROWS), (Outside(0.5), [[1.0, 2.0], [-1.0, 0.0]])):
        for path in folder.iterdir():
            path.unlink()
        save(model, folder, records)
        before = sorted(folder.rglob("*"))
        ask(folder, "pytorch", records)
        assert sorted(folder.rglob("*")) == before
