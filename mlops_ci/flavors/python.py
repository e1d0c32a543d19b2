"""
Plain Python: a folder whose `model.py` has `predict(records)`, or `load(folder)` that returns a thing with it.

Such a folder is written by hand, or made here from a function or from an object with `predict(records)`:
then `model.py` holds its definition and those that it uses, but no statement that would train again, and
`state.json` names it and has the object's attributes (`state.pickle`, where JSON cannot hold them).

The folder is code, so loading it runs that. Standard library alone at import: a copy of this file serves the model.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import json
import pickle
import symtable
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, cast

from . import tables

_FILE = "model.py"
_STATE = "state.json"
_PICKLE = "state.pickle"


def owns(model: Any) -> bool:
    """Whether *model* is a function, or an object with `predict`."""
    if isinstance(model, type):
        return False
    return isinstance(model, FunctionType) or callable(getattr(model, "predict", None))


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder with a `model.py`."""
    return (path / _FILE).is_file()


def save(model: Any, folder: Path) -> None:
    """Write the definition and the state of *model*. Raises as the protocol says."""
    thing = model if isinstance(model, FunctionType) else type(model)
    (folder / _FILE).write_text(Source(thing).text(), encoding="utf-8")
    if thing is model:
        state: dict[str, Any] = {"function": thing.__name__}
    else:
        state = {"class": thing.__name__, "attributes": _attributes(model, folder)}
    (folder / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Callable[[list[Any]], Any]:
    """Run `model.py` and return what predicts. Raises as the protocol says."""
    if not owns_files(folder):
        raise FileNotFoundError(f"{folder} has no {_FILE}")
    try:
        module = _run(folder)
        model = _restore(module, folder)
    except Exception as error:  # it is the user's code
        raise ValueError(f"{_FILE} cannot be loaded: {type(error).__name__}: {error}") from error
    found: Any = getattr(model, "predict", model)
    if not callable(found):
        raise ValueError(  # noqa: TRY004  # it is the file that is wrong
            f"{_FILE} has neither predict(records), nor load(folder) that returns a thing with it"
        )
    return cast("Callable[[list[Any]], Any]", found)


def predict(model: Callable[[list[Any]], Any], records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says, and what the model's code raises."""
    answers = _plain(model(records))
    if not isinstance(answers, list) or len(answers) != len(records):
        raise ValueError(f"the model must answer {len(records)} records with a list as long, not {_brief(answers)}")
    return answers


def requirements(model: Any) -> list[str]:
    """Pin the installed packages that the code of *model*, an object or a folder, imports."""
    if isinstance(model, Path):
        trees = [ast.parse(path.read_bytes()) for path in model.rglob("*.py")]
    else:
        trees = [ast.parse(Source(model if isinstance(model, FunctionType) else type(model)).text())]
    return tables.pinned({root for tree in trees for root in _imported(tree)})


class Source:
    """The definition of a function or class with the definitions, constants and imports that it uses."""

    def __init__(self, thing: Any) -> None:
        self._name = thing.__name__
        self._module = sys.modules[thing.__module__]
        self._refuse_nested(thing)
        try:
            source = inspect.getsource(self._module)
        except (OSError, TypeError):
            raise ValueError(f"the source of {self._name} is not in a file: write it to one and import it") from None
        self._lines = source.splitlines()
        self._nodes = ast.parse(source).body
        self._bound = {name: node for node in self._nodes for name in _names(node)}

    def text(self) -> str:
        """What `model.py` shall hold; the ValueError says what cannot be taken along."""
        kept, queue = set(), [self._name]
        while queue:
            name = queue.pop()
            node = self._bound.get(name)
            if node is None:
                self._refuse_unknown(name)
            elif node not in kept:
                kept.add(node)
                queue.extend(_globals(node))
        kept.update(node for node in self._nodes if isinstance(node, ast.ImportFrom) and node.module == "__future__")
        for node in kept:
            _refuse_own_imports(node)
        parts = (self._lines[_first_line(node) - 1 : node.end_lineno] for node in self._nodes if node in kept)
        return "\n\n".join("\n".join(lines) for lines in parts) + "\n"

    def _refuse_nested(self, thing: Any) -> None:
        if thing.__qualname__ != self._name or self._name == "<lambda>":
            raise ValueError(f"{thing.__qualname__} is defined inside something else: move it to the top of its file")

    def _refuse_unknown(self, name: str) -> None:
        if hasattr(self._module, name) and not hasattr(builtins, name) and not name.startswith("__"):
            raise ValueError(
                f"{self._name} uses {name!r}, which exists only while {self._module.__name__} runs: "
                "make it an attribute of the model's object"
            )


def _names(node: ast.stmt) -> Iterator[str]:
    """What the top-level *node* binds, if it is one that may be run again: imports, definitions, literals."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _literal(node.value):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.Try):
        inner = [*node.body, *(each for handler in node.handlers for each in handler.body)]
        if all(isinstance(each, (ast.Import, ast.ImportFrom, ast.Pass)) for each in inner):
            yield from (name for each in inner for name in _names(each))


def _literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def _globals(node: ast.stmt) -> set[str]:
    """The module-level names that *node* needs when it is run, or called."""
    found: set[str] = set()
    tables = [symtable.symtable(ast.unparse(node), _FILE, "exec")]
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        top = table.get_type() == "module"
        found.update(
            each.get_name() for each in table.get_symbols() if each.is_referenced() and (top or each.is_global())
        )
    return found


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else str(node.module).partition(".")[0]


def _refuse_own_imports(node: ast.stmt) -> None:
    for root in _imported(node):
        if tables.distribution(root) is None and not isinstance(node, ast.Try):
            raise ValueError(
                f"the model imports {root}, which is no installed package: "
                f"write a folder with both files and a {_FILE}, and log its path"
            )


def _attributes(model: Any, folder: Path) -> dict[str, Any] | None:
    """The attributes where JSON gives them back unchanged; else None, and they are in a pickle beside."""
    if not hasattr(model, "__dict__"):
        raise ValueError(f"{type(model).__name__} has slots instead of attributes: write a folder with a {_FILE}")
    state = dict(vars(model))
    try:
        if json.loads(json.dumps(state, allow_nan=False)) == state:
            return state
    except (TypeError, ValueError):
        pass
    try:
        data = pickle.dumps(state, protocol=4)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ValueError(f"the attributes of {type(model).__name__} cannot be pickled: {error}") from error
    own = type(model).__module__
    if bytes([0x8C, len(own.encode())]) + own.encode() in data:  # how a pickle of protocol 4 names a module
        raise ValueError(
            f"an attribute of {type(model).__name__} is of a class in {own}: write a folder with a {_FILE}"
        )
    (folder / _PICKLE).write_bytes(data)
    return None


def _run(folder: Path) -> ModuleType:
    """Run `model.py` as the module `logged_model`, with the files beside it importable and no bytecode left."""
    spec = importlib.util.spec_from_file_location("logged_model", folder / _FILE)
    assert spec is not None  # noqa: S101  # a path that ends in .py has a loader
    assert spec.loader is not None  # noqa: S101  # as above
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    sys.path.insert(0, str(folder))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _restore(module: ModuleType, folder: Path) -> Any:
    if (folder / _STATE).is_file():
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if "function" in state:
            return getattr(module, state["function"])
        made = getattr(module, state["class"])
        model = made.__new__(made)
        attributes = state["attributes"]
        if attributes is None:
            attributes = pickle.loads((folder / _PICKLE).read_bytes())  # noqa: S301  # the folder is code anyhow
        vars(model).update(attributes)
        return model
    load_it = getattr(module, "load", None)
    if load_it is None:
        return module
    return load_it(folder) if inspect.signature(load_it).parameters else load_it()


def _plain(answers: Any) -> Any:
    """NumPy's arrays and numbers, and tuples, as JSON has them."""
    if hasattr(answers, "tolist"):
        return answers.tolist()
    if isinstance(answers, dict):
        return {key: _plain(value) for key, value in answers.items()}
    if isinstance(answers, (list, tuple)):
        return [_plain(value) for value in answers]
    return answers


def _brief(answers: Any) -> str:
    return f"{len(answers)} answers" if isinstance(answers, list) else f"a {type(answers).__name__}"
