"""spaCy: a tiny classifier of texts and a finder of names, what a service then answers, and what is refused."""

from __future__ import annotations

import pytest
import spacy as framework
from spacy.language import Language
from spacy.training import Example

from mlops_ci import flavors
from mlops_ci.flavors import spacy, tables

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
TEXTS = ["a good film", "Berlin is a bad film", "what ?", "film"]


@Language.component("shout")
def shout(doc):
    """A component of the user's own."""
    return doc


class Louder:
    """A component of the user's own that is an object."""

    def __call__(self, doc):
        return doc


@Language.factory("louder")
def make_louder(nlp, name):  # noqa: ARG001  # spaCy's names
    return Louder()


def trained(*, classify: bool = True, find: bool = False):
    """A pipeline that has seen two films."""
    framework.util.fix_random_seed(0)
    nlp = framework.blank("en")
    if classify:
        learn(nlp)
    if find:
        nlp.add_pipe("entity_ruler").add_patterns([{"label": "GPE", "pattern": "Berlin"}])
    return nlp


def learn(nlp):
    """Have *nlp* classify films."""
    classifier = nlp.add_pipe("textcat")
    for label in ("NEG", "POS"):
        classifier.add_label(label)
    seen = [("good film", 1.0), ("bad film", 0.0)] * 4
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"POS": score, "NEG": 1 - score}}) for text, score in seen
    ]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)


def save(nlp, folder, **options):
    """As `log_model` saves."""
    spacy.save(nlp, folder)
    tables.remember(folder, flavor="spacy", **options)


def test_a_fresh_process_answers_the_same(folder, ask):
    """All at once and each alone: every label with its score."""
    nlp = trained()
    save(nlp, folder)
    answers, *alone = ask(folder, "spacy", TEXTS, *([text] for text in TEXTS))
    assert [list(answer) for answer in answers] == [["cats"]] * 4
    for answer, [single], text in zip(answers, alone, TEXTS, strict=True):
        assert answer["cats"] == pytest.approx(nlp(text).cats, abs=1e-6)
        assert single["cats"] == pytest.approx(answer["cats"], abs=1e-6)
    assert answers[0]["cats"]["POS"] > answers[1]["cats"]["POS"]
    assert flavors.detect(nlp) == "spacy"
    assert flavors.detect_files(folder) == "spacy"
    (folder / "flavor.json").unlink()
    assert flavors.detect_files(folder) == "spacy"


def test_names_are_found_where_they_are(folder, ask):
    """By characters; beside the scores, or alone where the method says so."""
    save(trained(find=True), folder)
    [answers] = ask(folder, "spacy", TEXTS)
    assert answers[1]["ents"] == [{"text": "Berlin", "label": "GPE", "start": 0, "end": 6}]
    assert sorted(answers[0]) == ["cats", "ents"]
    tables.remember(folder, method="ents")
    [bare] = ask(folder, "spacy", TEXTS)
    assert bare == [answer["ents"] for answer in answers]
    tables.remember(folder, method="tokens")
    with pytest.raises(ValueError, match=r"^the pipeline finds no 'tokens'; it finds cats, ents$"):
        spacy.load(folder)


def test_a_text_may_be_in_an_object(folder):
    """As a data frame of one column gives it."""
    save(trained(), folder)
    loaded = spacy.load(folder)
    assert spacy.predict(loaded, [{"review": text} for text in TEXTS]) == spacy.predict(loaded, TEXTS)


@pytest.mark.parametrize("record", [5, None, ["good"], {"a": "good", "b": "film"}, {"text": 5}])
def test_a_wrong_record_is_one_sentence(record, folder):
    """That says which."""
    save(trained(), folder)
    with pytest.raises(ValueError, match=r"^record 1 is neither a text nor an object that holds one$"):
        spacy.predict(spacy.load(folder), ["good", record])


def test_a_text_that_is_too_long_is_one_sentence(folder):
    """In spaCy's own words."""
    save(trained(classify=False, find=True), folder)
    loaded = spacy.load(folder)
    loaded.nlp.max_length = 10
    with pytest.raises(ValueError, match=r"^the pipeline does not take the records: .*\[E088\]"):
        spacy.predict(loaded, ["a text of more than ten characters"])


@pytest.mark.parametrize("name", ["shout", "louder"])
def test_components_of_the_project_alone_are_refused(name, folder):
    """Nobody else could load them."""
    nlp = trained(classify=False, find=True)
    nlp.add_pipe(name)
    with pytest.raises(ValueError, match=f"^the component '{name}' is defined in this project alone: put it into a"):
        save(nlp, folder)
    assert list(folder.iterdir()) == []


def test_code_that_the_configuration_names_is_not_imported(folder, tmp_path, monkeypatch):
    """Only what installed packages registered is run."""
    save(trained(), folder)
    (tmp_path / "trap.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'trapped')!r}).touch()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = folder / "config.cfg"
    config.write_text(config.read_text("utf-8").replace('factory = "textcat"', 'factory = "trap.Trap"'), "utf-8")
    assert "trap.Trap" in config.read_text("utf-8")
    with pytest.raises(ValueError, match=r"^config\.cfg cannot be loaded: .*trap\.Trap"):
        spacy.load(folder)
    assert not (tmp_path / "trapped").exists()


def test_the_folder_holds_no_pickle(folder):
    """A pickle of any protocol since 2 begins with the same byte, and ends with a full stop."""
    save(trained(find=True), folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    contents = [path.read_bytes() for path in files]
    assert not [each for each in contents if each[:1] == b"\x80" and each[-1:] == b"."]


def test_broken_and_missing_files_are_one_sentence(folder):
    """That names them."""
    with pytest.raises(FileNotFoundError, match=r"has no config\.cfg$"):
        spacy.load(folder)
    (folder / "config.cfg").write_text("this is } no model")
    with pytest.raises(ValueError, match=r"^config\.cfg cannot be loaded: \w+: "):
        spacy.load(folder)


def test_requirements_are_pinned(folder):
    """Of a pipeline and of its folder alike."""
    nlp = trained()
    save(nlp, folder)
    found = spacy.requirements(nlp)
    assert [line.partition("==")[0] for line in found] == ["numpy", "spacy"]
    assert f"spacy=={framework.__version__}" in found
    assert spacy.requirements(folder) == found


def test_loading_writes_nothing(folder, ask):
    """The folder is verified file by file before it is loaded, again and again."""
    save(trained(), folder)
    before = sorted(folder.rglob("*"))
    ask(folder, "spacy", TEXTS)
    assert sorted(folder.rglob("*")) == before
