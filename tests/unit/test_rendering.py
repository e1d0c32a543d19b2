"""Templates, ours and the repository's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_ci.errors import ConfigError
from mlops_ci.rendering import FILTERS, render, render_tree
from mlops_ci.resources import TEMPLATES
from mlops_ci.targets import PROVIDERS


def write(folder: Path, **templates: str) -> Path:
    """Write *templates*, whose names have `__` for a slash and no suffix, below *folder*."""
    for name, text in templates.items():
        place = folder / (name.replace("__", "/") + ".j2")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: path.relative_to(TEMPLATES).as_posix()
)
def test_every_expression_ends_in_a_filter_that_quotes(path: Path) -> None:
    """A value that reaches a file bare could become its syntax."""
    text = re.sub(
        r"\{%[-+]? raw [-+]?%\}.*?\{%[-+]? endraw [-+]?%\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    for expression in re.findall(r"\{\{(.*?)\}\}", text, re.DOTALL):
        assert expression.strip().rpartition("|")[2].strip() in FILTERS, expression


def test_templates_of_a_folder_become_files(tmp_path: Path) -> None:
    """`.j2` goes, `_` is included only, and nothing but space makes no file."""
    mine = write(
        tmp_path, mine__a="{{ x | yaml }}\n", mine__sub__b="b\n", mine___part="p", mine__none="{% if 0 %}{% endif %}\n"
    )
    assert render_tree("mine", {"x": "1"}, mine) == {"a": '"1"\n', "sub/b": "b\n"}


def test_a_repository_replaces_one_template_and_adds_another(tmp_path: Path) -> None:
    ours = render_tree("image", IMAGE)
    theirs = render_tree(
        "image", IMAGE, write(tmp_path, image__Dockerfile="FROM {{ base | word }}\n", image__extra="x\n")
    )
    assert theirs == {**ours, "Dockerfile": "FROM python\n", "extra": "x\n"}


def test_a_template_may_include_another(tmp_path: Path) -> None:
    mine = write(tmp_path, mine__a='{% include "mine/_b.j2" %}', mine___b="{{ x | py }}")
    assert render("mine/a.j2", {"x": 1}, mine) == "1"


def test_a_template_that_changed_between_two_calls_is_seen(tmp_path: Path) -> None:
    """Also one that is included, and one that takes the place of ours."""
    mine = write(tmp_path, mine__a='{% include "mine/_b.j2" %}', mine___b="one")
    assert render("mine/a.j2", {}, mine) == "one"
    write(tmp_path, mine___b="two")
    assert render("mine/a.j2", {}, mine) == "two"
    ours = render("image/Dockerfile.j2", IMAGE, mine)
    write(tmp_path, image__Dockerfile="FROM {{ base | word }}\n")
    assert render("image/Dockerfile.j2", IMAGE, mine) == "FROM python\n"
    (mine / "image/Dockerfile.j2").unlink()
    assert render("image/Dockerfile.j2", IMAGE, mine) == ours


def test_a_link_that_takes_the_place_of_a_template_is_refused(tmp_path: Path) -> None:
    """Although the template was read before."""
    mine = write(tmp_path / "own", mine__a="a")
    write(tmp_path, secret="a")
    assert render("mine/a.j2", {}, mine) == "a"
    (mine / "mine/a.j2").unlink()
    (mine / "mine/a.j2").symlink_to(tmp_path / "secret.j2")
    with pytest.raises(ConfigError, match="leads out of own/"):
        render("mine/a.j2", {}, mine)


def test_an_unknown_name_is_told_with_its_place_and_the_nearest(tmp_path: Path) -> None:
    mine = write(tmp_path, mine__a="one\n{{ relaese | yaml }}\n")
    with pytest.raises(ConfigError) as caught:
        render("mine/a.j2", {"release": {}}, mine)
    assert str(caught.value) == "template mine/a.j2, line 2: 'relaese' is undefined"
    assert caught.value.hint.startswith("did you mean 'release'?")


def test_an_unknown_name_below_another_is_told_too(tmp_path: Path) -> None:
    mine = write(tmp_path, mine__a="\n\n{{ release.modle | yaml }}\n")
    with pytest.raises(ConfigError, match=r"mine/a\.j2, line 3: .*no attribute 'modle'") as caught:
        render("mine/a.j2", {"release": {"model": "m"}}, mine)
    assert "'model'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{% if x %}", r"line 1: Unexpected end of template"),
        ("a\n{{ x | yml }}", r"line 2: No filter named 'yml'"),
        ("{{ 1 // 0 }}", r"line 1: .*by zero"),
        ("\n{{ x | word }}", r"line 2: 'a b' is not one plain word"),
        ("{{ ''.__class__.__mro__ | py }}", r"line 1: .*unsafe"),
        ("{{ x.append(1) | py }}", r"line 1"),
        ('{% include "mine/nothing.j2" %}', r"no template mine/nothing\.j2"),
        ('{% include "/etc/passwd" %}', r"no template /etc/passwd"),
        ('{% include "../../outside.j2" %}', r"leads out of"),
    ],
)
def test_whatever_fails_in_a_template_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    write(tmp_path, outside="secret")
    mine = write(tmp_path / "own/templates", mine__a=text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        render("mine/a.j2", {"x": "a b"}, mine)
    assert "\n" not in str(caught.value)


def test_a_link_cannot_draw_a_file_from_elsewhere_into_what_is_rendered(tmp_path: Path) -> None:
    write(tmp_path, secret="token")
    mine = write(tmp_path / "own", mine__a="a")
    (mine / "mine/link.j2").symlink_to(tmp_path / "secret.j2")
    with pytest.raises(ConfigError, match="leads out of own/"):
        render_tree("mine", {}, mine)


def test_a_template_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine/a\.j2 is not UTF-8"):
        render_tree("mine", {}, tmp_path)


def test_a_value_is_never_read_as_a_template(tmp_path: Path) -> None:
    mine = write(tmp_path, mine__a="{{ x | yaml }}")
    assert render("mine/a.j2", {"x": "{{ 7 * 7 }}"}, mine) == '"{{ 7 * 7 }}"'


def test_the_same_values_give_the_same_bytes_in_every_process() -> None:
    """Python gives each process another order of sets; none may show."""
    code = (
        "from tests.integration.served_model import sample_release as r;"
        "from mlops_ci.release import image_files, service_files; print(service_files(r()), image_files(r()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TEMPLATES.parent)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_importing_the_module_does_not_import_jinja() -> None:
    modules = ", ".join(f"mlops_ci.targets.{kind}" for kind in PROVIDERS)
    code = f"import sys, {modules}; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


IMAGE = {
    "release": {"model": "m", "version": "1", "platform": "", "port": 3000, "python": "3.11"},
    "base": "python",
    "environment": {"A": "b"},
    "labels": {"c": "d"},
}
