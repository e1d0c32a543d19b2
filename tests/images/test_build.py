"""`mlops-ci build` for real: images that Docker and buildah make of a registered version, run, pushed and pulled."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workplace
from tests.images.conftest import Shop, release
from tests.images.daemons import Storage, members, run
from tests.images.index import Index
from tests.integration.served_model import call, free_port
from tests.repositories import git
from tests.serving.traffic import Traffic
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("images")

Make = Callable[..., Workplace]
SECURED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]
SKLEARN = """
import mlops_ci as mlops
from sklearn.linear_model import LogisticRegression

model = LogisticRegression().fit([[1.0, 0.0], [2.0, 0.0], [8.0, 1.0], [9.0, 1.0]], ["low", "low", "high", "high"])
with mlops.start_run() as run:
    run.log_metrics({"accuracy": 1.0})
    run.log_model(model, input_example=[[1.5, 0.0], [8.5, 1.0]])
"""


def image_of(place: Workplace, *options: str, expect: int = 0, **variables: str) -> dict[str, Any]:
    """What `mlops-ci build` recorded."""
    said = place.run("-q", "build", *options, "--json", expect=expect, **variables)
    found: dict[str, Any] = json.loads(said)
    return found


def ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def running(shop: Shop, image: str, *options: str) -> Iterator[tuple[str, int]]:
    """A container of *image* that is ready, and the port where it answers."""
    port = free_port()
    container = shop.docker("run", "--detach", "--publish", f"127.0.0.1:{port}:3000", *options, image)
    try:
        for _ in range(600):
            if ready(port):
                break
            assert shop.docker("inspect", "-f", "{{.State.Running}}", container) == "true", shop.docker(
                "logs", container
            )
            time.sleep(0.05)
        yield container, port
    finally:
        shop.docker("rm", "--force", container)


def test_an_image_of_a_plain_model_answers_with_nothing_but_tmp_to_write_to(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/plain")
    built = image_of(place, "--builder", "docker")["image"]
    with running(shop, built["reference"], *SECURED) as (container, port):
        assert call(port, "/predict", {"records": [{"x": 3.0}]})[1]["predictions"] == [1.5]
        assert shop.docker("diff", container) == ""
        assert shop.docker("exec", container, "id", "-u") == "10001"
        assert shop.docker("exec", container, "sh", "-c", "touch /app/x || touch /tmp/x && echo tried") == "tried"
        found = shop.docker("exec", container, "sh", "-c", "command -v pip pip3 uv gcc cc git curl; true")
        assert found == ""
        modules = (
            "import importlib.util as u; print([n for n in ('pip', 'uv', 'ensurepip', 'mlops_ci') if u.find_spec(n)])"
        )
        assert shop.docker("exec", container, "python3", "-c", modules) == "[]"
        assert shop.docker("exec", container, "/usr/bin/python3", "-c", modules) == "[]"
    # Where the root file system may be written, nobody does so either.
    with running(shop, built["reference"], "--tmpfs", "/tmp") as (container, port):
        assert call(port, "/predict", {"records": [{"x": 1.0}]})[0] == 200
        assert shop.docker("diff", container) == ""


@pytest.mark.full  # test_to_the_cluster rolls one by one on Kubernetes
def test_a_rollout_loses_no_request_and_a_killed_container_comes_back(make_project: Make, shop: Shop) -> None:
    """Under load: the old version is stopped when the new one is ready, and then the new one is killed."""
    place = make_project(f"{shop.registry.name}/rolled")
    one = image_of(place, "--builder", "docker")["image"]["reference"]
    place.commit({"params.json": '{"factor": 2.0}'})
    release(place, "1.1.0")
    two = image_of(place, "--builder", "docker")["image"]["reference"]
    options = [*SECURED, "--env", "MLOPS_DRAIN_S=15"]
    with running(shop, one, *options) as (old, first), running(shop, two, *options) as (new, second):
        with Traffic([first, second], body=b'{"records": [{"x": 3.0}]}') as traffic:
            traffic.wait_for(20)
            shop.docker("stop", "--time", "30", old)
            traffic.wait_for(len(traffic.answers) + 20)
            assert traffic.faults == []
            shop.docker("kill", new)
        assert set(traffic.answers) == {200}
        predictions = {json.loads(body)["version"]: json.loads(body)["predictions"] for body in traffic.bodies if body}
        assert predictions == {"1.0.0": [1.5], "1.1.0": [6.0]}
        assert shop.docker("inspect", "-f", "{{.State.ExitCode}}", old) == "0"
        shop.docker("start", new)
        eventually(lambda: ready(second), within_s=30)
        assert call(second, "/predict", {"records": [{"x": 3.0}]})[1]["predictions"] == [6.0]


def test_labels_and_record_say_what_the_image_is(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/labels")
    first = image_of(place, "--builder", "docker")
    image = first["image"]
    facts = json.loads(shop.docker("inspect", image["reference"]))[0]
    labels = facts["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == git(place.root, "rev-parse", "HEAD")
    assert labels["org.opencontainers.image.version"] == "1.0.0"
    assert labels["mlops-ci.version-record"] == image["version_record"]
    assert labels["mlops-ci.model-digest"].startswith("sha256:")
    assert (image["image_id"], image["size_bytes"]) == (facts["Id"], facts["Size"])
    assert facts["Config"]["User"] == "10001:10001"
    assert image["base"] == shop.base
    again = image_of(place, "--builder", "docker")
    assert (again["new"], again["record"]) == (False, first["record"])
    # Whoever takes it away gets it again, of the recorded lock.
    shop.docker("rmi", image["reference"])
    third = image_of(place, "--builder", "docker")
    assert third["new"]
    assert third["image"]["lock"] == image["lock"]
    assert third["image"]["context_digest"] == image["context_digest"]


def test_an_image_of_a_framework_answers_and_a_new_model_is_its_last_layer(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/sklearn", {"train.py": SKLEARN})
    one = image_of(place, "--builder", "docker", "--push")["image"]
    with running(shop, one["reference"], *SECURED) as (container, port):
        assert call(port, "/predict", {"records": [[1.5, 0.0], [8.5, 1.0]]})[1]["predictions"] == ["low", "high"]
        assert shop.docker("diff", container) == ""
    sent = shop.registry.uploads()
    place.commit({"train.py": SKLEARN.replace("8.0, 1.0", "7.0, 1.0")})
    release(place, "1.1.0")
    two = image_of(place, "--builder", "docker", "--push")["image"]
    layers = [shop.registry.manifest("sklearn", image["version"])["layers"] for image in (one, two)]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    assert layers[1][-1]["size"] < 1_000_000
    # The model's layer and the image's configuration.
    assert shop.registry.uploads() - sent == 2
    assert two["lock"] == one["lock"]
    assert two["digest"] == shop.registry.get("/v2/sklearn/manifests/1.1.0")[2]["docker-content-digest"]


@pytest.mark.full
def test_buildah_gives_the_same_digest_at_another_time_and_place(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/twice")
    one = image_of(place, "--builder", "buildah", "--push")["image"]
    elsewhere = Storage([shop.registry.name])
    try:
        two = image_of(place, "--builder", "buildah", "--push", "--no-cache", **elsewhere.environment)["image"]
    finally:
        elsewhere.stop()
    assert two["image_id"] == one["image_id"]
    assert two["digest"] == one["digest"]
    config = json.loads(shop.storage("inspect", "--type", "image", one["reference"]))["OCIv1"]
    assert all(entry["created"].startswith("1970") for entry in config["history"][1:-2])
    # The version's own time is that of its registration, and not of the build.
    assert config["created"] == config["history"][-1]["created"] > "2020"
    shop.docker("pull", "--quiet", one["reference"])
    with running(shop, one["reference"], *SECURED) as (_, port):
        assert call(port, "/predict", {"records": [{"x": 3.0}]})[1]["predictions"] == [1.5]


@pytest.mark.full
def test_a_new_model_is_one_new_layer_with_buildah_too(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/layers")
    one = image_of(place, "--builder", "buildah", "--push")["image"]
    sent = shop.registry.uploads()
    place.commit({"params.json": '{"factor": 0.25}'})
    release(place, "1.1.0")
    two = image_of(place, "--builder", "buildah", "--push")["image"]
    layers = [shop.registry.manifest("layers", image["version"])["layers"] for image in (one, two)]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    assert shop.registry.uploads() - sent == 2


@pytest.mark.full
@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_a_password_is_nowhere(make_project: Make, shop: Shop, tmp_path: Path, builder: str) -> None:
    """It lets the build fetch packages, and is in no layer, history, record, lock, log, nor left on the disk."""
    password = "hunter-2-and-more"
    (tmp_path / "tmp").mkdir()
    index = Index(shop.docker.address, password)
    url = f"http://robot:{password}@{index.host}/simple"
    try:
        place = make_project(f"{shop.registry.name}/{builder}-secret")
        said = place.run(
            "build", "--builder", builder, "--no-cache", UV_DEFAULT_INDEX=url, TMPDIR=str(tmp_path / "tmp")
        )
    finally:
        index.stop()
    assert {"uv", "uvicorn"} <= index.served
    assert password not in said
    image = image_of(place, "--builder", builder)["image"]
    assert password not in json.dumps(image)
    if builder == "docker":
        assert password not in shop.docker("history", "--no-trunc", image["reference"])
        shop.docker("save", "--output", tmp_path / "image.tar", image["reference"])
        saved = [tmp_path / "image.tar"]
    else:
        shop.storage("push", "--disable-compression", image["reference"], f"dir:{tmp_path}/image")
        saved = [path for path in (tmp_path / "image").iterdir() if path.is_file()]
    for file in saved:
        content = file.read_bytes()
        assert password.encode() not in content
        assert index.host.encode() not in content
    # buildah keeps downloaded packages there.
    assert {left.name for left in (tmp_path / "tmp").iterdir()} <= {"buildah-cache"}
    kept = (path for path in (tmp_path / "tmp").rglob("*") if path.is_file() and not path.is_symlink())
    assert not [path for path in kept if password.encode() in path.read_bytes()]
    stored = run("git", "-C", place.remote, "cat-file", "--batch-all-objects", "--batch")
    assert image["lock"]["digest"].removeprefix("sha256:")[:12]
    assert password not in stored
    assert index.host not in stored


def test_credentials_of_the_registry(make_project: Make, shop: Shop, tmp_path: Path) -> None:
    """None and wrong ones are a sentence and no record; with the right ones, what was built is pushed and pulled."""
    place = make_project(f"{shop.locked.name}/locked")
    for builder in ("docker", "buildah"):
        for variables in ({}, shop.login(tmp_path / "wrong", "wrong")):
            said = place.run("build", "--builder", builder, "--push", expect=2, **variables)
            assert "pushing failed: the registry does not accept the credentials" in said
            assert "wrong" not in said.replace("the wrong", "")
        login = shop.login(tmp_path / "right")
        image = image_of(place, "--builder", builder, "--push", **login)["image"]
        assert image["pushed"]
        assert image["digest"].startswith("sha256:")
    shop.storage("rmi", "--force", image["reference"])
    run("buildah", "pull", f"{shop.locked.name}/locked@{image['digest']}", env={**shop.environment, **login})


@pytest.mark.full
def test_a_build_that_is_killed_leaves_nothing_and_the_next_one_works(
    make_project: Make, shop: Shop, tmp_path: Path
) -> None:
    place = make_project(f"{shop.registry.name}/killed")
    before = git(place.remote, "for-each-ref")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_ci", "build", "--builder", "docker", "--no-cache", "--push"],
        cwd=place.root,
        env={**place.env, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "RUN --mount" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    assert git(place.remote, "for-each-ref") == before
    assert shop.registry.get("/v2/killed/tags/list")[0] == 404
    assert image_of(place, "--builder", "docker", "--push")["new"]


def test_a_disk_that_is_full_is_a_sentence(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/full")
    small = Storage([shop.registry.name])
    (small.folder / "root").mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", small.folder / "root")
    try:
        said = place.run("build", "--builder", "buildah", expect=3, **small.environment)
    finally:
        run("umount", "--lazy", small.folder / "root")
        shutil.rmtree(small.folder)
    assert "building failed: there is no room on the disk that images are built on" in said


def test_what_the_base_has_to_be(make_project: Make, shop: Shop) -> None:
    """There, and with the Python that the service is to run on."""
    place = make_project(f"{shop.registry.name}/based")
    config = (place.root / "mlops.yaml").read_text()
    (place.root / "mlops.yaml").write_text(config.replace(shop.base, f"{shop.registry.name}/nothing:1"))
    for builder in ("docker", "buildah"):
        said = place.run("build", "--builder", builder, expect=2)
        assert "building failed: the base image was not found" in said
    (place.root / "mlops.yaml").write_text(config.replace("runtime: asgi", "runtime: asgi, python: '3.12'"))
    for builder in ("docker", "buildah"):
        said = place.run("build", "--builder", builder, expect=2)
        assert "the base image has Python 3.11, and the service is to run on 3.12" in said


@pytest.mark.full
def test_a_base_without_a_digest_is_warned_of(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/floating")
    config = (place.root / "mlops.yaml").read_text()
    (place.root / "mlops.yaml").write_text(config.replace(shop.base, f"{shop.registry.name}/base:1"))
    assert "is not named by its digest" in place.run("build", "--builder", "docker")


@pytest.mark.full
def test_a_package_that_is_not_what_was_locked_is_refused(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/tampered")
    image_of(place, "--builder", "docker", "-o", "context")
    context = place.root / "context"
    lock = (context / "requirements.lock").read_text()
    head, _, tail = lock.partition("uvicorn==")
    name, _, rest = tail.partition("\n")
    wrong = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, rest.partition("\n\n")[0])
    (context / "requirements.lock").unlink()
    (context / "requirements.lock").write_text(f"{head}uvicorn=={name}\n{wrong}")
    script = (
        "import sys; from pathlib import Path; from mlops_ci.images import Order\n"
        "from mlops_ci.images import access; from mlops_ci.images.docker import DockerBuilder; import os\n"
        "with access.secrets(access.find(os.environ)) as secrets:\n"
        "    order = Order(context=Path('context'), reference='tampered', epoch=0, secrets=secrets)\n"
        "    DockerBuilder().build(order, lambda line: None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place.root, env=place.env, capture_output=True, text=True, check=False
    )
    assert "IntegrityError: building failed: a package does not have the digest that the lock names" in done.stderr


@pytest.mark.full
def test_a_registry_that_dies_is_a_sentence_and_the_next_push_works(make_project: Make, shop: Shop) -> None:
    place = make_project(f"{shop.registry.name}/dying")
    image_of(place, "--builder", "docker")
    for builder in ("docker", "buildah"):
        image_of(place, "--builder", builder)
        shop.registry.end(signal.SIGKILL)
        try:
            said = place.run("build", "--builder", builder, "--push", expect=3)
        finally:
            shop.registry.up()
        assert "a registry or package index did not answer" in said
        assert image_of(place, "--builder", builder, "--push")["image"]["pushed"]


def test_who_cannot_build_says_why(make_project: Make, shop: Shop, tmp_path: Path) -> None:
    place = make_project(f"{shop.registry.name}/unable")
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("git", "uv", "sh"):
        (bare / name).symlink_to(shutil.which(name, path=place.env["PATH"]) or name)
    said = place.run("build", expect=2, PATH=str(bare))
    assert "nothing can build an image here: there is no Docker here; there is no buildah here" in said
    (bare / "docker").write_text("#!/bin/sh\n[ $1 = --version ] && echo 'Docker version 28.2.2, build e6534b4'\n")
    (bare / "docker").chmod(0o755)
    said = place.run("build", "--builder", "docker", expect=2, PATH=str(bare))
    assert "28.2.2 has no buildx" in said
    assert "--builder buildah" in said
    # One that can is taken, wherever on PATH it comes.
    said = place.run("build", "--builder", "docker", PATH=os.pathsep.join([str(bare), place.env["PATH"]]))
    assert "(/usr/bin/docker)" in said
    said = place.run("build", "--builder", "docker", "--no-cache", expect=3, DOCKER_HOST=f"unix://{tmp_path}/none")
    assert "the Docker daemon does not answer" in said


@pytest.mark.full
@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_what_the_builder_gets_has_one_mode_and_one_time(
    make_project: Make, shop: Shop, tmp_path: Path, builder: str
) -> None:
    place = make_project(f"{shop.registry.name}/modes")
    image = image_of(place, "--builder", builder, "--push")["image"]
    layer = shop.registry.manifest("modes", image["version"])["layers"][-1]["digest"]
    (tmp_path / "layer.tar").write_bytes(shop.registry.get(f"/v2/modes/blobs/{layer}")[1])
    below = "app/service/"
    found = {
        name.removeprefix(below): member for name, member in members(tmp_path / "layer.tar").items() if below in name
    }
    assert {member.mode & 0o777 for member in found.values() if member.isfile()} == {0o444}
    assert {member.mode & 0o777 for member in found.values() if member.isdir()} == {0o555}
    assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}
    # Docker's builder makes folders itself, at a time of its own: `mlops-ci build` warns that its digests differ.
    timed = [member for member in found.values() if builder == "buildah" or member.isfile()]
    assert len({member.mtime for member in timed}) == 1
    assert {"manifest.json", "service.py", "requirements.lock"} <= found.keys()
    assert not found.keys() & {"Dockerfile", ".dockerignore"}
