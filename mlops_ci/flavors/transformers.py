"""
Hugging Face transformers: a pipeline, which is a model with its tokenizer and what it is asked for.

The folder is the one that `save_pretrained` writes: `config.json`, `model.safetensors`, the tokenizer's files; the
pipeline's `task` and the parameters that it was made with (`top_k` and the like) are in `flavor.json`. A folder that
says no task gets that of its architecture, or the one that `method` names.

Weights are read from safetensors alone: a folder with pickles (`pytorch_model.bin`) is refused, and so is one whose
configuration names code of its own (`auto_map`). Nothing is fetched: a service works offline.

A record is a text, or an object that holds one (or, for pairs and questions, what the pipeline takes by these names).
The answer is the pipeline's own. Records are asked in one batch where the tokenizer can pad.

In a service PyTorch gets OMP_NUM_THREADS threads, or one. The requirement is `torch==2.x.y`, without `+cpu`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import tables

_CONFIG = "config.json"
_PARAMETERS = ("_preprocess_params", "_forward_params", "_postprocess_params")
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
}


class Loaded(NamedTuple):
    """A pipeline and how many records it takes at once."""

    pipeline: Any
    batch: bool


def owns(model: Any) -> bool:
    """Whether *model* is a pipeline, or a model that should be in one."""
    transformers = sys.modules.get("transformers")
    if transformers is None:
        return False
    bases = {f"{each.__module__}.{each.__name__}" for each in type(model).__mro__}
    return bool(bases & {"transformers.pipelines.base.Pipeline", "transformers.modeling_utils.PreTrainedModel"})


def owns_files(path: Path) -> bool:
    """Whether *path* is a folder with `config.json` and weights, or a tokenizer, beside."""
    if not (path / _CONFIG).is_file() or (path / "model.py").exists():
        return False
    return any((path / name).is_file() for name in ("tokenizer_config.json", "pytorch_model.bin")) or _weights(path)


def save(model: Any, folder: Path) -> None:
    """Write the pipeline *model*. Raises as the protocol says; for a model without a tokenizer too."""
    if not hasattr(model, "task"):
        raise ValueError(
            "the model has no tokenizer: log transformers.pipeline(task, model=..., tokenizer=...), which has both"
        )
    parameters = {name: getattr(model, name, {}) for name in _PARAMETERS}
    try:
        json.dumps(parameters)
    except (TypeError, ValueError):
        raise ValueError("the pipeline was made with arguments that are no JSON: leave them out") from None
    try:
        model.save_pretrained(str(folder))
        tables.remember(folder, task=model.task, parameters=parameters)
        load(folder)
    except Exception as error:
        raise ValueError(f"the pipeline cannot be saved: {_sentence(error)}") from error


def load(folder: Path) -> Loaded:
    """Load the pipeline, on the CPU. Raises as the protocol says."""
    if not (folder / _CONFIG).is_file():
        raise FileNotFoundError(f"{folder} has no {_CONFIG}")
    options = tables.options(folder)
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        _refuse_unsafe(folder, config)
        made = _pipeline(folder, options.get("task") or options.get("method") or _task(config))
    except Exception as error:  # it is other people's code
        raise ValueError(f"{folder.name} cannot be loaded: {_sentence(error)}") from error
    for name, values in options.get("parameters", {}).items():
        if name in _PARAMETERS:
            getattr(made, name).update(values)
    return Loaded(made, getattr(getattr(made, "tokenizer", None), "pad_token_id", None) is not None)


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return what the pipeline answers to each of *records*. Raises as the protocol says."""
    from transformers import pipelines

    given = [_given(number, record) for number, record in enumerate(records)]
    faults = (ValueError, TypeError, KeyError, IndexError, RuntimeError, pipelines.PipelineException)
    try:
        # Of a list of one some pipelines return the answer alone; of what a generator gives, never.
        answers = list(model.pipeline((each for each in given), batch_size=len(given) if model.batch else 1))
    except faults as error:
        raise ValueError(f"the pipeline does not take the records: {_sentence(error)}") from error
    if len(answers) != len(records):
        raise ValueError(f"the pipeline answered {len(records)} records with {len(answers)} answers")
    return [_plain(answer) for answer in answers]


def requirements(model: Any) -> list[str]:  # noqa: ARG001  # all need the same
    """Pin transformers, and what reads its files and computes."""
    pins = tables.pinned({"numpy", "safetensors", "tokenizers", "torch", "transformers"})
    return [line.partition("+")[0] for line in pins]


def _weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _refuse_unsafe(folder: Path, config: dict[str, Any]) -> None:
    """Refuse what transformers would unpickle, or import."""
    if not _weights(folder):
        raise ValueError("it has no .safetensors, and other weights are pickles: save it again with save_pretrained")
    tokenizer = folder / "tokenizer_config.json"
    told = json.loads(tokenizer.read_text(encoding="utf-8")) if tokenizer.is_file() else {}
    if "auto_map" in config or "auto_map" in told or "custom_pipelines" in config:
        raise ValueError("its configuration names code of its own, which is not run: write a folder with a model.py")


def _task(config: dict[str, Any]) -> str:
    names = config.get("architectures") or [""]
    for ending, task in _TASKS.items():
        if names[0].endswith(ending):
            return task
    raise ValueError(
        f"it is a {names[0] or 'model'} and says no task: log the pipeline itself, or name it as the method"
    )


def _pipeline(folder: Path, task: str) -> Any:
    if __name__.partition(".")[0] == "flavors":  # in a service
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch

        torch.set_num_threads(tables.threads())
    import transformers

    made = transformers.pipeline(
        task,
        model=str(folder),
        tokenizer=str(folder),
        device="cpu",
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )
    made.model.eval()
    return made


def _given(number: int, record: Any) -> Any:
    if isinstance(record, str):
        return record
    if isinstance(record, dict) and record and all(isinstance(each, (str, list)) for each in record.values()):
        texts = list(record.values())
        return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else record
    raise ValueError(f"record {number} is neither a text nor an object of texts")


def _plain(answer: Any) -> Any:
    """NumPy's numbers, and tensors, as JSON has them."""
    if isinstance(answer, dict):
        return {str(name): _plain(each) for name, each in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [_plain(each) for each in answer]
    return answer.tolist() if hasattr(answer, "tolist") else answer


def _sentence(error: Exception) -> str:
    """The first line of what *error* says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
