"""
PyTorch. A module is saved in the first of three ways that gives its own answers again.

`model.pt2`: torch.export's program, with a batch of any size. Needs an input example. `model.pt`: TorchScript, traced
with the example or else compiled. `module.py`, `module.json` and `model.safetensors`: the definition of the
class, the arguments of its constructor (attributes of the same names) and the weights.

What loading runs: the third way runs `module.py`: it is the project's own code. TorchScript runs no Python, but is a
program: PyTorch says to trust it like one. `torch.export.load` is not safe by itself: it evaluates the text of sizes,
unpickles what cannot be read otherwise, and calls functions by name. So an archive is looked through first, and one
that asks for more than arithmetic on tensors is refused. Pickles (`torch.save` of a module or of weights) are refused.

A record is an array, or an object of numbers by column name, in the order that `flavor.json` remembers; for a model of
several inputs an object by the names of its inputs. Records are stacked to one tensor, of the type that the model was
exported with. Answers are rows of the output, in lists or objects where the model returns tuples or dicts.

In a service PyTorch gets OMP_NUM_THREADS threads, or one; a training keeps its own. The requirement is `torch==2.x.y`
without the local version (`+cpu`): only PyTorch's own index knows those, and the plain one is met by them too.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import tables, tensors

_PROGRAM = "model.pt2"
_CODE = "module.py"
_ARGUMENTS = "module.json"
_WEIGHTS = "model.safetensors"
_SUFFIXES = (".pt2", ".pt", ".pth")
# What a program may call: operators by namespace, name and overload, and the arithmetic of its sizes.
_CALLS = re.compile(
    r"(torch\.ops\.\w+\.\w+\.\w+|torch\.ops\.higher_order\.\w+|torch\._?sym_\w+|math\.\w+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pos|pow|eq|ne|lt|le|gt|ge|and_|or_))"
)
_TENSORS = re.compile(r"(weight|tensor|constant)_\d+")
_FILE_CALLS = re.compile(r"torch\.ops\.(aten\.(save|load|from_file)|prim)\.")
_SIZES = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Tuple,
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


class Loaded(NamedTuple):
    """A model and how to ask it: *columns* is None where records are arrays, or objects by the names of *inputs*."""

    call: Callable[..., Any]
    inputs: list[tensors.Input]
    columns: list[str] | None


def owns(model: Any) -> bool:
    """Whether *model* is a `torch.nn.Module` (TorchScript's are), or a program of torch.export."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    program = getattr(sys.modules.get("torch.export"), "ExportedProgram", ())
    return isinstance(model, (torch.nn.Module, program) if program else torch.nn.Module)


def owns_files(path: Path) -> bool:
    """Whether *path* is a `.pt2`, `.pt` or `.pth`, or a folder with exactly one or with what `save` wrote."""
    return _find(path) is not None


def save(model: Any, folder: Path) -> None:
    """Write *model* without an example. Raises as the protocol says."""
    from . import pytorch_saving

    pytorch_saving.save(model, folder)
    load(folder)
    _write_requirements(folder)


def save_with_example(model: Any, folder: Path, records: list[Any]) -> None:
    """
    Write *model*, which can be tried with *records*, such as `predict` gets; `flavor.json` gets its inputs.

    Raises:
        ValueError: As the protocol says, or the model does not take the records.
    """
    from . import pytorch_saving

    def ask(
        call: Callable[..., Any], inputs: list[tensors.Input], columns: list[str] | None, records: list[Any]
    ) -> list[Any]:
        return predict(Loaded(call, inputs, columns), records)

    asking = pytorch_saving.Asking(lambda folder: load(folder).call, ask)
    pytorch_saving.save_with_example(model, folder, records, asking)
    _write_requirements(folder)


def load(folder: Path) -> Loaded:
    """Load the model, for prediction on the CPU. Raises as the protocol says."""
    path = _find(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_PROGRAM}")
    import torch

    if __name__.partition(".")[0] == "flavors":  # in a service
        torch.set_num_threads(tables.threads())
    options = tables.options(folder)
    try:
        if path.suffix == ".pt2":
            call, inputs = _read_program(path)
        else:
            module = _read_code(folder) if path.name == _ARGUMENTS else _read_script(path)
            call, inputs = _method(module, options.get("method", "forward")), _remembered(module, options)
    except Exception as error:  # archives can be broken in any way
        raise ValueError(f"{path.name} cannot be loaded: {_sentence(error)}") from error
    return Loaded(call, inputs, options.get("columns"))


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    import torch

    arrays = tensors.stack(records, model.inputs, model.columns)
    kinds = [getattr(torch, each.dtype) for each in model.inputs]
    batch = [torch.from_numpy(array).to(kind) for array, kind in zip(arrays, kinds)]  # noqa: B905  # Python 3.9
    try:
        with torch.inference_mode():
            outputs = model.call(*batch)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        shapes = ", ".join(str(list(each.shape[1:])) for each in batch)
        raise ValueError(f"the model does not take records of shape {shapes}: {_sentence(error)}") from error
    return tensors.unstack(_arrays(outputs), len(records))


def requirements(model: Any) -> list[str]:
    """Pin torch, and for a folder with `module.py` what that imports."""
    modules = {"torch", "numpy"}
    if isinstance(model, Path) and (model / _CODE).is_file():
        modules |= {"safetensors", *_imported(ast.parse((model / _CODE).read_bytes()))}
    return sorted({line.partition("+")[0] for line in tables.pinned(modules)})


def _find(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix in _SUFFIXES else None
    if (path / _ARGUMENTS).is_file():
        return path / _ARGUMENTS
    found = [file for file in path.glob("*") if file.suffix in _SUFFIXES]
    code = (path / "model.py").exists()  # which knows better how to load it
    return found[0] if len(found) == 1 and not code else None


def _write_requirements(folder: Path) -> None:
    """Only the folder knows what the copied code imports."""
    if (folder / _CODE).is_file():
        pins = "".join(f"{line}\n" for line in requirements(folder))
        (folder / "requirements.txt").write_text(pins, encoding="utf-8")


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _read_code(folder: Path) -> Any:
    from safetensors.torch import load_model

    made = json.loads((folder / _ARGUMENTS).read_text(encoding="utf-8"))
    spec = importlib.util.spec_from_file_location("logged_module", folder / _CODE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{_CODE} is not there")
    definitions = importlib.util.module_from_spec(spec)
    sys.modules[definitions.__name__] = definitions  # dataclasses look their module up
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(definitions)
    finally:
        sys.dont_write_bytecode = before
    module = getattr(definitions, made["class"])(**made["arguments"])
    load_model(module, str(folder / _WEIGHTS))
    return module.eval()


def _read_script(path: Path) -> Any:
    import torch

    with zipfile.ZipFile(path) as archive:
        compiled = any(name.endswith("/constants.pkl") for name in archive.namelist())
    if not compiled:
        raise ValueError(
            "it is a pickle, which can run any code: log the module itself, or a .pt2 that torch.export.save wrote"
        )
    return torch.jit.load(str(path), map_location="cpu").eval()


def _read_program(path: Path) -> tuple[Callable[..., Any], list[tensors.Input]]:
    import torch

    _refuse_unsafe(path)
    program = torch.export.load(path)
    wanted = list(program.graph_signature.user_inputs)
    found = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [
        tensors.Input(
            name,
            str(found[name].dtype).partition(".")[2],
            [size if isinstance(size, int) else None for size in found[name].shape[1:]],
        )
        for name in wanted
    ]
    module = program.module(check_guards=False)  # they are code, and the shapes are ours to check
    keywords = list((program.example_inputs or ((), {}))[1])
    if not keywords:
        return module, inputs
    at = len(inputs) - len(keywords)
    return lambda *batch: module(*batch[:at], **dict(zip(keywords, batch[at:]))), inputs  # noqa: B905  # Python 3.9


def _refuse_unsafe(path: Path) -> None:
    """Refuse an archive that loading, or asking, would run more of than arithmetic on tensors."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(re.search(r"(^|/)models/[^/]+\.json$", name) for name in names):
            raise ValueError("there is no program of torch.export in it")
        for name in names:
            if name.endswith(".json"):
                _refuse_unsafe_texts(json.loads(archive.read(name)))
            elif name.endswith(".pt"):
                _refuse_unsafe_pickle(name, archive.read(name))


def _refuse_unsafe_pickle(name: str, content: bytes) -> None:
    """PyTorch would read it without any bounds, if it cannot within them."""
    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise ValueError(f"{name} is a pickle of more than tensors") from error


def _refuse_unsafe_texts(content: Any) -> None:
    for key, value in _pairs(content):
        if key == "target" and not (_CALLS.fullmatch(value) and not _FILE_CALLS.match(value)):
            raise ValueError(f"it calls {value}, which is no operator on tensors")
        if key == "expr_str" and not _is_size(value):
            raise ValueError(f"it has a size that is no arithmetic: {value[:80]}")
        if (key == "use_pickle" and value) or (key == "path_name" and not _TENSORS.fullmatch(value)):
            raise ValueError("it has a constant that is pickled, and not a plain tensor")


def _pairs(node: Any) -> Iterator[tuple[str, Any]]:
    """Every name in the JSON of *node* with its value."""
    queue = [node]
    while queue:
        each = queue.pop()
        if isinstance(each, dict):
            yield from each.items()
        if isinstance(each, (dict, list)):
            queue.extend(each.values() if isinstance(each, dict) else each)


def _is_size(text: str) -> bool:
    """Whether *text* is arithmetic of symbols: SymPy evaluates it, and its own functions begin with a capital."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError):
        return False
    names_ok = all(
        isinstance(node.func, ast.Name) and node.func.id[0].isupper() for node in nodes if isinstance(node, ast.Call)
    )
    texts_ok = all(
        node.value.isidentifier() and not node.value.startswith("_")
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return names_ok and texts_ok and all(isinstance(node, _SIZES) for node in nodes)


def _method(module: Any, name: str) -> Callable[..., Any]:
    found = module if name == "forward" else getattr(module, name, None)
    if not callable(found):
        raise ValueError(f"it has no {name}()")  # noqa: TRY004  # it is the name that is wrong
    return found  # type: ignore[no-any-return]


def _remembered(module: Any, options: dict[str, Any]) -> list[tensors.Input]:
    """The inputs as `flavor.json` has them, else one of the type of the weights."""
    floats = (str(each.dtype).partition(".")[2] for each in module.parameters() if each.is_floating_point())
    known = options.get("inputs") or [["input", next(floats, "float32")]]
    return [tensors.Input(name, dtype, None) for name, dtype in known]


def _arrays(outputs: Any) -> Any:
    """NumPy's arrays for the tensors in *outputs*."""
    if isinstance(outputs, dict):
        return {name: _arrays(part) for name, part in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [_arrays(part) for part in outputs]
    if not hasattr(outputs, "detach"):
        return outputs
    import torch

    found = outputs.detach().cpu()
    return (found.float() if found.dtype == torch.bfloat16 else found).numpy()


def _sentence(error: Exception) -> str:
    """The first line of what *error* says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
