"""A repository's patches, applied by the kubectl on the PATH."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.targets import Check
from mlops_ci.targets.kubernetes import KubernetesOptions, KubernetesTarget, patches
from mlops_ci.targets.kubernetes.objects import Object, objects_in
from tests.integration.served_model import sample_release

IMAGE = "ghcr.io/acme/cancer@sha256:" + "a" * 64
GPU = """\
kind: Deployment
spec:
  template:
    spec:
      nodeSelector: {gpu: "true", kubernetes: {{ options.kubernetes | yaml }}}
      containers:
        - name: service
          env: [{name: LEVEL, value: "1e5"}]
"""


def target(**options: Any) -> KubernetesTarget:
    chosen = msgspec.convert(options, KubernetesOptions)
    return KubernetesTarget("staging", chosen, project="cancer", state=Path("unused"))


def repository(folder: Path, patches: dict[str, str], templates: dict[str, str] | None = None) -> Path:
    """The templates of a repository: *patches* by file name, and *templates* beside them."""
    texts = {**{f"patches/{name}": text for name, text in patches.items()}, **(templates or {})}
    for path, text in texts.items():
        place = folder / "targets/kubernetes" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
    return folder


def patched(folder: Path, patches: dict[str, str], **options: Any) -> dict[str, Object]:
    """The objects by kind."""
    files = target(**options).render(sample_release(image=IMAGE), repository(folder, patches))
    return {each["kind"]: each for each in objects_in(files)}


def test_a_patch_is_laid_over_the_manifest_of_its_kind(tmp_path: Path) -> None:
    """And leaves everything else as it is: each container is found by its name."""
    before = {each["kind"]: each for each in objects_in(target().render(sample_release(image=IMAGE)))}
    after = patched(tmp_path, {"gpu.yaml.j2": GPU})
    pod = after["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["nodeSelector"] == {"gpu": "true", "kubernetes": "1.31"}
    assert container.pop("env") == [{"name": "LEVEL", "value": "1e5"}]
    del pod["nodeSelector"]
    for each in (before["Deployment"], after["Deployment"]):
        del each["spec"]["template"]["metadata"]["annotations"]["mlops-ci/config-digest"]
    assert after == before


def test_what_is_rendered_is_what_came_out_in_one_file(tmp_path: Path) -> None:
    """`kubectl apply -k` then does the same as a deployment; the patches are not applied twice."""
    one = target()
    files = one.render(sample_release(image=IMAGE), repository(tmp_path, {"gpu.yaml.j2": GPU}))
    assert list(files) == ["kustomization.yaml", "manifests.yaml", "setup/deployer.yaml"]
    assert yaml.safe_load(files["kustomization.yaml"])["resources"] == ["manifests.yaml"]
    assert one.check(files) == Check()
    assert files == one.render(sample_release(image=IMAGE), tmp_path)


def test_a_json_patch_finds_its_manifest_by_the_name_of_its_file(tmp_path: Path) -> None:
    edit = "- {op: replace, path: /spec/maxReplicas, value: 9}\n"
    for version in ("1.20", "1.31"):
        found = patched(tmp_path / version, {"horizontalpodautoscaler.yaml": edit}, kubernetes=version)
        assert found["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == 9


def test_a_patched_setting_restarts_the_pods(tmp_path: Path) -> None:
    def digest(level: str) -> str:
        text = f"kind: ConfigMap\ndata: {{LEVEL: {level!r}}}\n"
        deployment = patched(tmp_path / level, {"settings.yaml": text})["Deployment"]
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["mlops-ci/config-digest"])

    assert digest("a") == digest("a")
    assert digest("a") != digest("b")


def test_what_a_patch_allows_a_pod_is_checked(tmp_path: Path) -> None:
    one = target()
    loose = "kind: Deployment\nspec: {template: {spec: {hostNetwork: true}}}\n"
    files = one.render(sample_release(image=IMAGE), repository(tmp_path, {"loose.yaml": loose}))
    assert one.check(files).problems == ["manifests.yaml: hostNetwork is set"]


def test_the_deployers_role_is_not_patched(tmp_path: Path) -> None:
    text = "kind: Role\nrules: []\n"
    with pytest.raises(ConfigError, match=r"patches/role\.yaml patches a Role, which is not rendered") as caught:
        patched(tmp_path, {"role.yaml": text})
    assert caught.value.hint.startswith("these are: ConfigMap, Deployment")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.yaml", "kind: [", r"patches/a\.yaml is not YAML"),
        ("a.yaml", "just text", r"patches/a\.yaml is neither a mapping nor a list"),
        ("a.yaml", "spec: {}", r"patches/a\.yaml does not say which kind it patches"),
        ("a.yaml", "kind: Deployment\nmetadata: {name: other}", r"patches a Deployment, which is not rendered"),
        ("a.yaml", "- {op: remove, path: /spec}", r"patches/a\.yaml patches a a, which is not rendered"),
        ("a.txt", "kind: Deployment", r"patches/a\.txt is no patch"),
        ("a.txt.j2", "kind: Deployment", r"patches/a\.txt is no patch"),
        ("deployment.yaml", "- {op: remove, path: /spec/none}", r"^the patches cannot be applied: "),
        ("a.yaml", "kind: Deployment\napiVersion: apps/v2", r"^the patches cannot be applied: "),
    ],
)
def test_a_patch_that_cannot_be_applied_is_told(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    """In one line, and without a path of this machine."""
    with pytest.raises(ConfigError, match=sentence) as caught:
        patched(tmp_path, {name: text})
    assert "\n" not in str(caught.value)
    assert not {"/tmp", str(tmp_path), "command failed"} & set(str(caught.value).split())


def test_of_several_of_a_kind_the_patch_says_which(tmp_path: Path) -> None:
    other = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: {{ namespace | yaml }}}\ndata: {a: '='}\n"
    )
    edit = "- {op: add, path: /data/b, value: '2'}\n"

    def data(folder: Path, patches: dict[str, str]) -> dict[str, Any]:
        overrides = repository(folder, patches, {"more.yaml.j2": other})
        found = objects_in(target().render(sample_release(image=IMAGE), overrides))
        return {each["metadata"]["name"]: each["data"] for each in found if each["kind"] == "ConfigMap"}

    for name in ("configmap.yaml", "all.yaml"):
        text = edit if name == "configmap.yaml" else "kind: ConfigMap\ndata: {b: '2'}\n"
        with pytest.raises(ConfigError, match="patches one ConfigMap of several: cancer, more"):
            data(tmp_path / name, {name: text})
    assert data(tmp_path / "edit", {"configmap.more.yaml": edit})["more"] == {"a": "=", "b": "2"}
    named = "kind: ConfigMap\nmetadata: {name: more}\ndata: {b: '2'}\n"
    found = data(tmp_path / "merge", {"more.yaml": named})
    assert found["more"] == {"a": "=", "b": "2"}
    assert "b" not in found["cancer"]


def test_without_kubectl_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = repository(tmp_path, {"gpu.yaml.j2": GPU})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="want kubectl, which is not on the PATH") as caught:
        target().render(sample_release(), overrides)
    assert "install kubectl" in caught.value.hint


def test_a_patch_that_is_a_link_cannot_draw_a_file_into_what_is_published(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("kind: ConfigMap\ndata: {a: token}\n")
    overrides = repository(tmp_path / "own", {})
    (overrides / "targets/kubernetes/patches").mkdir(parents=True)
    (overrides / "targets/kubernetes/patches/link.yaml").symlink_to(secret)
    with pytest.raises(ConfigError, match="leads out of own/"):
        target().render(sample_release(), overrides)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
@example("1e5")
@example("y")
@example("=")
@example("0o17")
@example("12:30:45")
@example("2024-01-01")
@example("null")
@example("~")
@example("a: b # c")
def test_every_text_is_written_so_that_it_stays_text(value: str) -> None:
    """Bare is only what no reader of YAML takes for anything but text."""
    document = {"kind": "ConfigMap", "data": {value: value}}
    text = patches.written([document])
    assert list(yaml.safe_load_all(text)) == [document]
    data = next(node for key, node in yaml.compose(text).value if key.value == "data")
    for node in data.value[0]:
        assert node.style or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]+", node.value)
