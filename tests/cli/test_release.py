"""From a tag to production, with the real commands. A plain Python model keeps it quick; nothing is deployed here."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import CONFIG, TRAIN, Workplace
from tests.repositories import git

MODEL = """
class Factor:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, records):
        return [record["x"] * self.factor for record in records]
"""
TRAIN_WITH_MODEL = TRAIN.replace("params =", "from model import Factor\nparams =") + (
    "    run.log_model(Factor(params['accuracy']), input_example=[{'x': 1.0}, {'x': 2.0}])\n"
)
TARGETS = """\
targets:
  staging: {kind: local, port: 39001}
  production:
    kind: local
    port: 39002
    approval: {required: 1}
"""


@pytest.fixture
def trained(project: Workplace) -> Workplace:
    """A project whose model on main has been trained and tagged."""
    project.commit({"model.py": MODEL, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG + TARGETS})
    project.run("run")
    git(project.root, "tag", "churn@v1.0.0")
    project.push("HEAD:main", "churn@v1.0.0")
    return project


def test_a_fresh_clone_registers_what_another_trained(trained: Workplace) -> None:
    assert "churn 1.0.0 registered" in trained.clone("other").run("register", "churn@v1.0.0")
    assert "churn 1.0.0 was registered already" in trained.run("register", "churn@v1.0.0")


def test_a_version_never_means_other_bytes(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    trained.commit({"params.json": '{"accuracy": 0.95}'})
    trained.run("run")
    git(trained.root, "tag", "--force", "churn@v1.0.0")
    said = trained.run("register", "churn@v1.0.0", expect=4)
    assert "registered already" in said
    assert "tag the next one" in said


def test_a_run_that_failed_its_gates_is_not_registered(trained: Workplace) -> None:
    trained.commit({"params.json": '{"accuracy": 0.5}'})
    trained.run("run")
    trained.run("gate", expect=1)
    git(trained.root, "tag", "churn@v1.1.0")
    refusal = "does not pass the gates of the default branch: accuracy"
    assert refusal in trained.run("register", "churn@v1.1.0", expect=4)
    (trained.root / "weak.yaml").write_text("project: churn\nrun: {command: python train.py}\n")
    trained.run("--config", "weak.yaml", "gate")
    trained.run("run")
    assert refusal in trained.run("register", "churn@v1.1.0", expect=4)


def test_a_run_by_another_command_is_no_version(trained: Workplace) -> None:
    trained.commit({"params.json": '{"accuracy": 0.93}', "cheat.py": TRAIN_WITH_MODEL.replace("0.9", "0.99")})
    trained.run("run", "--", "python", "cheat.py")
    git(trained.root, "tag", "churn@v1.1.0")
    assert "another command" in trained.run("register", "churn@v1.1.0", expect=2)


def test_a_pre_release_is_not_the_newest(trained: Workplace) -> None:
    git(trained.root, "tag", "churn@v2.0.0-rc.1")
    trained.run("register", "churn@v1.0.0")
    trained.run("register", "churn@v2.0.0-rc.1")
    trained.run("render")
    assert (trained.root / "build/churn-1.0.0/service").is_dir()


def test_rendering_touches_no_folder_that_holds_anything_else(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    (trained.root / "out/service").mkdir(parents=True)
    (trained.root / "out/service/mine.py").write_text("mine")
    for folder in ("out", "."):
        assert "is not empty" in trained.run("render", "-o", folder, expect=2)
    assert (trained.root / "out/service/mine.py").read_text() == "mine"


def test_explain_follows_a_version_down_to_its_run(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    story = json.loads(trained.clone("audit").run("explain", "1.0.0", "--json"))
    checks = {(fact["section"], fact["name"]): fact["check"] for fact in story["facts"]}
    assert checks["gates", "verdict"] == "verified"
    assert checks["model", "files"] == "verified"
    assert "wrong" not in checks.values()


def test_explain_notices_a_tag_that_was_moved(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    trained.commit({"note": "x"})
    git(trained.root, "tag", "--force", "churn@v1.0.0")
    assert "WRONG" in trained.run("explain", "1.0.0", expect=4)


def test_a_run_with_uncommitted_changes_is_never_a_version(trained: Workplace) -> None:
    trained.commit({"note": "x"})
    (trained.root / "params.json").write_text('{"accuracy": 0.99}')
    assert "never a baseline" in trained.run("run")
    git(trained.root, "tag", "churn@v1.1.0")
    assert "no run of commit" in trained.run("register", "churn@v1.1.0", expect=2)


def test_rendering_twice_in_two_clones_gives_the_same_bytes(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    other = trained.clone("other")
    for place in (trained, other):
        place.run("render", "v1.0.0", "-o", "out")
    assert tree(trained.root / "out") == tree(other.root / "out")
    assert "staging" in str(sorted(tree(other.root / "out")))
    assert trained.run("render", "--json", "-o", "out") == trained.run("render", "--json", "-o", "out")


def test_what_is_rendered_does_not_make_the_tree_dirty(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    trained.run("render")
    assert "uncommitted" not in trained.run("run")


def test_a_template_of_the_repository_replaces_ours(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    (trained.root / ".mlops/templates/targets/local").mkdir(parents=True)
    (trained.root / ".mlops/templates/targets/local/notes.md.j2").write_text("{{ release.model | comment }}\n")
    trained.run("render", "-o", "out")
    assert (trained.root / "out/targets/staging/notes.md").read_text() == "churn\n"


def test_a_template_that_names_what_is_not_there_is_one_sentence(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    (trained.root / ".mlops/templates/targets/local").mkdir(parents=True)
    (trained.root / ".mlops/templates/targets/local/notes.md.j2").write_text("\n{{ relase.model | comment }}\n")
    said = trained.run("render", "-o", "out", expect=2)
    assert "line 2" in said
    assert "did you mean 'release'" in said


def test_the_nearest_version_is_named(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    assert "did you mean '1.0.0'" in trained.run("render", "1.0.1", expect=2)


def test_production_waits_for_somebody_else(trained: Workplace, keys: dict[str, Path]) -> None:
    trained.run("register", "churn@v1.0.0")
    allow(trained, keys)
    assert "needs 1 approval and has 0 of 1" in trained.run("deploy", "production", expect=4)
    (asked,) = json.loads(trained.run("approvals", "--json"))
    plan = asked["request"]["plan_digest"].removeprefix("sha256:")[:12]
    assert "four eyes" in trained.run("approve", plan, "--key", str(keys["engineer"]), expect=4)
    assert "allowed_signers" in trained.run("approve", plan, "--key", str(keys["stranger"]), expect=4)
    assert "is too short" in trained.run("approve", plan[:4], "--key", str(keys["approver"]), expect=2)
    assert "no request" in trained.run("approve", "0" * 12, "--key", str(keys["approver"]), expect=2)
    said = trained.clone("elsewhere").run("approve", plan, "--key", str(keys["approver"]))
    assert "approver@example.com approved" in said
    assert "that is all it needs" in said


def test_a_rejection_stands_against_an_approval(trained: Workplace, keys: dict[str, Path]) -> None:
    trained.run("register", "churn@v1.0.0")
    allow(trained, keys)
    trained.run("deploy", "production", expect=4)
    plan = json.loads(trained.run("approvals", "--json"))[0]["request"]["plan_digest"].removeprefix("sha256:")
    trained.run("approve", plan, "--key", str(keys["approver"]), "--reject", "recall fell")
    trained.run("approve", plan, "--key", str(keys["approver"]))
    said = trained.run("deploy", "production", expect=4)
    assert "approver@example.com rejected it: recall fell" in said


def test_an_approval_does_not_outlive_its_key(trained: Workplace, keys: dict[str, Path]) -> None:
    trained.run("register", "churn@v1.0.0")
    allow(trained, keys)
    trained.run("deploy", "production", expect=4)
    plan = json.loads(trained.run("approvals", "--json"))[0]["request"]["plan_digest"].removeprefix("sha256:")
    trained.run("approve", plan, "--key", str(keys["approver"]))
    trained.commit({".mlops/allowed_signers": ""})
    trained.push()
    assert "has 0 of 1" in trained.run("deploy", "production", expect=4)


def test_another_rule_undoes_the_approval(trained: Workplace, keys: dict[str, Path]) -> None:
    trained.run("register", "churn@v1.0.0")
    allow(trained, keys)
    trained.run("deploy", "production", expect=4)
    plan = json.loads(trained.run("approvals", "--json"))[0]["request"]["plan_digest"].removeprefix("sha256:")
    trained.run("approve", plan, "--key", str(keys["approver"]))
    trained.commit({"mlops.yaml": CONFIG + TARGETS.replace("39002", "39003")})
    trained.push()
    assert "has 0 of 1" in trained.run("deploy", "production", expect=4)
    assert len(json.loads(trained.run("approvals", "--json"))) == 2


def test_a_branch_cannot_lift_the_approval(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    lifted = CONFIG + TARGETS.replace("    approval: {required: 1}\n", "    production: false\n")
    trained.commit({"mlops.yaml": lifted}, branch="sneaky")
    assert "needs 1 approval" in trained.run("deploy", "production", expect=4)


def test_production_without_protection_is_refused(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    trained.commit({"mlops.yaml": CONFIG + TARGETS.replace("    approval: {required: 1}\n", "")})
    trained.push()
    said = trained.run("deploy", "production", expect=4)
    assert "nothing protects it" in said
    assert "approval: {required: 1}" in said


def test_a_target_waits_for_the_one_before_it(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    trained.commit({"mlops.yaml": CONFIG + TARGETS.replace("39002\n", "39002\n    after: staging\n")})
    trained.push()
    assert "is not live on staging" in trained.run("deploy", "production", expect=4)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """A key each for the requester, for a second person and for a stranger."""
    found = {}
    for name in ("engineer", "approver", "stranger"):
        found[name] = tmp_path / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(found[name])]
        subprocess.run(command, check=True)
    return found


def allow(place: Workplace, keys: dict[str, Path]) -> None:
    """Put the first two keys on the default branch."""
    lines = [
        f'{name}@example.com namespaces="mlops-ci" {keys[name].with_suffix(".pub").read_text()}'
        for name in ("engineer", "approver")
    ]
    place.commit({".mlops/allowed_signers": "".join(lines)})
    place.push()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below *folder*."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_kubernetes_target_wants_an_image_that_was_pushed(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    cluster = "targets: {cluster: {kind: kubernetes}}\n"
    trained.commit({"mlops.yaml": CONFIG + cluster})
    trained.push()
    said = trained.run("deploy", "cluster", expect=2)
    assert "cluster runs an image, and nothing says what the image is called" in said
    trained.commit({"mlops.yaml": CONFIG + cluster + "serving: {image: ghcr.io/acme/churn:latest}\n"})
    trained.push()
    said = trained.run("deploy", "cluster", expect=2)
    assert "no image of churn 1.0.0 was pushed to ghcr.io/acme/churn:latest" in said
    assert "`mlops-ci build 1.0.0 --push`" in said
    assert trained.run("deployments") == "nothing was deployed yet\n"


def test_templates_of_a_deployment_are_those_of_the_default_branch(trained: Workplace, keys: dict[str, Path]) -> None:
    trained.run("register", "churn@v1.0.0")
    trained.commit({".mlops/templates/targets/local/notes.md.j2": "{{ release.model | comment }}\n"})
    allow(trained, keys)
    trained.run("deploy", "production", expect=4)
    trained.commit({".mlops/templates/targets/local/notes.md.j2": "changed on a branch\n"}, branch="sneaky")
    trained.run("deploy", "production", expect=4)
    assert len(json.loads(trained.run("approvals", "--json"))) == 1
    trained.push("HEAD:main")
    trained.run("deploy", "production", expect=4)
    assert len(json.loads(trained.run("approvals", "--json"))) == 2


def test_a_port_that_is_taken_is_named(trained: Workplace) -> None:
    trained.run("register", "churn@v1.0.0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        trained.commit({"mlops.yaml": CONFIG + TARGETS.replace("39001", str(port))})
        trained.push()
        said = trained.run("deploy", "staging", expect=3)
    assert f"port {port} is taken by" in said
    assert "targets.staging.port" in said
    (failed,) = json.loads(trained.run("deployments", "--json"))
    assert failed["deployment"]["status"] == "failed"
