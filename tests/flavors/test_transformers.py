"""transformers: pipelines around a tiny model, what a service then answers, and what is never loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizerFast,
    pipeline,
)

from mlops_ci import flavors
from mlops_ci.flavors import tables, transformers

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bad", "film", "good", "is", "the", "very", "was", "what"]
TEXTS = ["good film", "the film was very very bad", "what ?"]


def made(task: str, kind: type = BertForSequenceClassification, **options):
    """A pipeline whose model has just been born."""
    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    return pipeline(
        task, model=kind(config).eval(), tokenizer=BertTokenizerFast(vocab=vocabulary), device="cpu", **options
    )


CASES = {
    "classification": (lambda: made("text-classification"), TEXTS),
    "all labels": (lambda: made("text-classification", top_k=None), TEXTS),
    "one": (lambda: made("text-classification", top_k=None), TEXTS[:1]),
    "tokens": (lambda: made("token-classification", BertForTokenClassification), TEXTS),
    "mask": (lambda: made("fill-mask", BertForMaskedLM, top_k=2), ["a [MASK] film", "the film is [MASK]"]),
    "pairs": (lambda: made("text-classification"), [{"text": "good film", "text_pair": "bad film"}] * 2),
}


def numbers(value):
    """The numbers in *value*, in its order."""
    if isinstance(value, (dict, list)):
        return [each for part in (value.values() if isinstance(value, dict) else value) for each in numbers(part)]
    return [] if isinstance(value, str) else [float(value)]


def words(value):
    """What else there is in *value*."""
    if isinstance(value, dict):
        return {name: words(each) for name, each in value.items()}
    if isinstance(value, list):
        return [words(each) for each in value]
    return value if isinstance(value, str) else None


def save(model, folder):
    """As `log_model` saves."""
    transformers.save(model, folder)
    tables.remember(folder, flavor="transformers")


@pytest.mark.parametrize(("make", "records"), CASES.values(), ids=CASES.keys())
def test_a_fresh_process_answers_the_same(make, records, folder, ask):
    """All at once and each alone, with the parameters that the pipeline was made with."""
    model = make()
    expected = json.loads(json.dumps(model([*records, records[0]])[:-1], default=float))  # one would be bare
    save(model, folder)
    answers, *alone = ask(folder, "transformers", records, *([record] for record in records))
    assert words(answers) == words(expected)
    assert numbers(answers) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-5)
    assert words([answer for [answer] in alone]) == words(expected)
    assert flavors.detect(model) == "transformers"
    assert flavors.detect_files(folder) == "transformers"
    assert (folder / "model.safetensors").is_file()
    assert not list(folder.glob("*.bin"))


def test_an_object_that_holds_a_text_is_one(folder):
    """As a data frame of one column gives it."""
    save(made("text-classification"), folder)
    loaded = transformers.load(folder)
    found = transformers.predict(loaded, [{"review": text} for text in TEXTS])
    assert found == transformers.predict(loaded, TEXTS)


@pytest.mark.parametrize("record", [5, {"text": 5}, ["good"], None, {}])
def test_a_wrong_record_is_one_sentence(record, folder):
    """That says which."""
    save(made("text-classification"), folder)
    with pytest.raises(ValueError, match=r"^record 1 is neither a text nor an object of texts$"):
        transformers.predict(transformers.load(folder), ["good", record])


def test_what_a_pipeline_refuses_is_one_sentence(folder):
    """In its own words."""
    save(made("fill-mask", BertForMaskedLM), folder)
    with pytest.raises(ValueError, match=r"^the pipeline does not take the records: .*mask"):
        transformers.predict(transformers.load(folder), ["no gap"])


def test_a_folder_of_save_pretrained_is_a_model(folder, ask):
    """Its task is that of its architecture, or the one that the method names."""
    model = made("text-classification")
    model.save_pretrained(folder)
    assert flavors.detect_files(folder) == "transformers"
    [answers] = ask(folder, "transformers", TEXTS)
    assert words(answers) == words(model(TEXTS))
    tables.remember(folder, flavor="transformers", method="feature-extraction")
    [[features], *_] = transformers.predict(transformers.load(folder), TEXTS)
    assert len(features[0]) == 16


def test_a_model_without_a_tokenizer_is_refused(folder):
    """With what to log instead."""
    model = made("text-classification").model
    assert flavors.detect(model) == "transformers"
    with pytest.raises(ValueError, match=r"the model has no tokenizer: log transformers\.pipeline"):
        transformers.save(model, folder)


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self):
        return (Path.touch, (self.at,))


def test_pickled_weights_are_refused(folder, tmp_path):
    """Unread."""
    save(made("text-classification"), folder)
    (folder / "model.safetensors").unlink()
    torch.save(Trap(tmp_path / "trapped"), folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"it has no \.safetensors, and other weights are pickles: save it again"):
        transformers.load(folder)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_is_refused(file, folder, tmp_path):
    """Unread."""
    save(made("text-classification"), folder)
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'trapped')!r}).touch()\n"
    (folder / "own.py").write_text(trap)
    said = json.loads((folder / file).read_text("utf-8"))
    (folder / file).write_text(json.dumps({**said, "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}))
    with pytest.raises(ValueError, match="its configuration names code of its own, which is not run"):
        transformers.load(folder)
    assert not (tmp_path / "trapped").exists()


def test_loading_writes_nothing_and_takes_one_thread(folder, ask):
    """The folder is verified file by file before it is loaded, again and again."""
    save(made("text-classification"), folder)
    before = sorted(folder.rglob("*"))
    _, told = ask(folder, "transformers", TEXTS, then="\nimport torch; print(torch.get_num_threads())")
    assert told == ["1"]
    assert sorted(folder.rglob("*")) == before


def test_broken_and_missing_files_are_one_sentence(folder):
    """That names them."""
    with pytest.raises(FileNotFoundError, match=r"has no config\.json$"):
        transformers.load(folder)
    save(made("text-classification"), folder)
    (folder / "model.safetensors").write_bytes(b"this is } no model")
    with pytest.raises(ValueError, match=r"^model cannot be loaded: "):
        transformers.load(folder)


def test_requirements_are_pinned(folder):
    """Without a local version, which only PyTorch's own index has."""
    save(made("text-classification"), folder)
    found = transformers.requirements(folder)
    names = [line.partition("==")[0] for line in found]
    assert names == ["numpy", "safetensors", "tokenizers", "torch", "transformers"]
    assert f"torch=={torch.__version__.partition('+')[0]}" in found
