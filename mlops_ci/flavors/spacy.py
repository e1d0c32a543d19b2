"""
spaCy: a pipeline in spaCy's own folder, as `nlp.to_disk` writes it.

That folder holds no pickles: `config.cfg` names registered functions, and the rest are msgpack, JSON and arrays. So
loading runs only what installed packages registered. A pipeline with a component, or a vocabulary, that only this
project defines is refused when it is saved: nobody could load it.

A record is a text, or an object that holds one. The answer is an object of what the pipeline finds: `cats` (label →
score), `ents` (with `text`, `label`, `start` and `end`, in characters), `tokens` (with what a tagger, parser or
lemmatizer says). `method` in `flavor.json` names one of these, which is then the answer itself.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_CONFIG = "config.cfg"
_TOKENS = {
    "tagger": ("tag", "tag_"),
    "morphologizer": ("pos", "pos_"),
    "parser": ("dep", "dep_"),
    "trainable_lemmatizer": ("lemma", "lemma_"),
    "lemmatizer": ("lemma", "lemma_"),
}


class Loaded(NamedTuple):
    """A pipeline, and the *finds* of it that are answered; *bare* if the only one is the answer itself."""

    nlp: Any
    finds: list[str]
    bare: bool


def owns(model: Any) -> bool:
    """Whether *model* is a spaCy pipeline."""
    spacy = sys.modules.get("spacy")
    kind = getattr(getattr(spacy, "language", None), "Language", None)
    return kind is not None and isinstance(model, kind)


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder that `nlp.to_disk` wrote."""
    named = all((path / name).exists() for name in (_CONFIG, "meta.json", "vocab"))
    return named and not (path / "model.py").exists()


def save(model: Any, folder: Path) -> None:
    """Write *model*. Raises as the protocol says."""
    for name in model.pipe_names:
        module = type(model.get_pipe(name)).__module__
        if module == "builtins" or tables.distribution(module) is None:
            raise ValueError(
                f"the component {name!r} is defined in this project alone: "
                "put it into a package with an entry point of spaCy, or write a folder with a model.py"
            )
    model.to_disk(folder)
    load(folder)


def load(folder: Path) -> Loaded:
    """Load the pipeline, on the CPU. Raises as the protocol says."""
    if not (folder / _CONFIG).is_file():
        raise FileNotFoundError(f"{folder} has no {_CONFIG}")
    if __name__.partition(".")[0] == "flavors":  # in a service
        os.environ.setdefault("OMP_NUM_THREADS", str(tables.threads()))
    try:
        import spacy

        nlp = spacy.load(folder)
    except Exception as error:  # any component can fail in its own way
        raise ValueError(f"{_CONFIG} cannot be loaded: {_sentence(error)}") from error
    finds = _finds(nlp)
    method = tables.options(folder).get("method")
    if method is None:
        return Loaded(nlp, finds, bare=False)
    if method not in finds:
        raise ValueError(f"the pipeline finds no {method!r}; it finds {', '.join(finds) or 'nothing'}")
    return Loaded(nlp, [method], bare=True)


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return what the pipeline finds in each of *records*. Raises as the protocol says."""
    texts = [_text(number, record) for number, record in enumerate(records)]
    try:
        answers = [{name: _found(name, doc, model.nlp) for name in model.finds} for doc in model.nlp.pipe(texts)]
    except ValueError as error:  # a text that is too long
        raise ValueError(f"the pipeline does not take the records: {_sentence(error)}") from error
    return [answer[model.finds[0]] for answer in answers] if model.bare else answers


def requirements(model: Any) -> list[str]:
    """Pin spaCy, and the packages of components that are not its own; a folder says of itself what it needs."""
    modules = {"spacy", "numpy"}
    if isinstance(model, Path):
        modules |= _packages(model / _CONFIG)
    else:
        modules |= {type(model.get_pipe(name)).__module__ for name in model.pipe_names}
    return tables.pinned(modules)


def _packages(config: Path) -> set[str]:
    """The packages whose registered functions *config* names: `spacy-transformers.TransformerModel.v3`."""
    parsed = configparser.RawConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their capitals
    parsed.read(config, encoding="utf-8")
    named = {value for section in parsed.sections() for key, value in parsed.items(section) if key.startswith("@")}
    roots = {match[1].replace("-", "_") for value in named if (match := re.match(r'"?([A-Za-z0-9_-]+)\.', value))}
    return {root for root in roots if tables.distribution(root)}


def _finds(nlp: Any) -> list[str]:
    factories = {nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    found = ["cats"] if factories & {"textcat", "textcat_multilabel"} else []
    found += ["ents"] if factories & {"ner", "entity_ruler", "beam_ner", "span_ruler"} else []
    return found + (["tokens"] if factories & set(_TOKENS) else [])


def _found(name: str, doc: Any, nlp: Any) -> Any:
    if name == "cats":
        return {label: float(score) for label, score in doc.cats.items()}
    if name == "ents":
        return [
            {"text": each.text, "label": each.label_, "start": each.start_char, "end": each.end_char}
            for each in doc.ents
        ]
    factories = [nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names]
    told = dict(_TOKENS[factory] for factory in factories if factory in _TOKENS)
    return [{"text": token.text, **{name: getattr(token, of) for name, of in told.items()}} for token in doc]


def _text(number: int, record: Any) -> str:
    if isinstance(record, dict) and len(record) == 1:
        record = next(iter(record.values()))
    if not isinstance(record, str):
        raise ValueError(f"record {number} is neither a text nor an object that holds one")  # noqa: TRY004
    return record


def _sentence(error: Exception) -> str:
    """The first line of what *error* says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
