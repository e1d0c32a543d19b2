"""
Deployment to Kubernetes: rendering, the way from a tag until it serves, and a deployment that changes nothing.

Needs a cluster for all but rendering: that of KUBECONFIG, or one that the command in MLOPS_TEST_CLUSTER_UP starts. The
image is a prepared one that is pushed, of a plain Python model: what building costs is in `images.py`. Every deployment
is the first one in a namespace of its own, with one pod; who is first in a turn, for whom the node pulls the image,
goes round.

The peer is kubectl with the same manifests and the same image. It asks nobody for leave, compares nothing afterwards,
sends the service no request, and keeps no record. What the cluster's API takes for a deployment that changes nothing
are the requests of one, sent again by the HTTP client alone, over a connection of its own.

One package of the tests' is hidden from our command: as soon as it is there, jsonschema, which comes with the extra
`kubernetes`, imports it, and it compiles a grammar for more than a second.
"""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from benchmarks.repositories import environment
from benchmarks.timing import Call, Command, Sample, interleave, ratio, table
from mlops_ci.errors import ServiceError
from mlops_ci.lifecycle.deploying import deploy as deploying
from mlops_ci.lifecycle.deploying.performing import Deployed
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.register_model import register
from mlops_ci.targets.kubernetes import KubernetesTarget
from mlops_ci.targets.kubernetes.api import Api
from mlops_ci.targets.kubernetes.credentials import connect
from tests.cluster.conftest import REGISTRY, find_cluster
from tests.cluster.images import push_service
from tests.cluster.shops import Shop
from tests.integration.served_model import sample_release
from tests.repositories import ENVIRONMENT, git

RENDERED = 100
TURNS = 6  # each of the three is first twice
SAME_TURNS = 10
_OURS, _COMMAND, _KUBECTL = "mlops-ci, in one process", "mlops-ci deploy", "kubectl apply -k, rollout status"
_SAME = "2.0.0"
_OF_THE_TESTS = "rfc3987_syntax"
_STEPS: tuple[tuple[Any, str, str], ...] = (
    (deploying, "prospect", "plan: render, check, digest"),
    (deploying, "admit", "ask policy, twice"),
    (KubernetesTarget, "apply", "apply"),
    (KubernetesTarget, "wait", "wait"),
    (KubernetesTarget, "verify", "verify: compare fields, smoke test"),
)
_REST = "hold the target, keep manifests, record"
_CPU = ("cpu: 50m", "cpu: 500m")  # what the tests give a pod makes its start last


def render(folder: Path) -> None:
    """The manifests of 100 targets of one version."""
    release = sample_release(image=f"registry.example.org/cancer@sha256:{'a' * 64}")
    targets = [_target(number, folder) for number in range(RENDERED)]
    ours = Call("mlops-ci, KubernetesTarget.render", lambda _: [each.render(release) for each in targets])
    first = interleave([ours], times=1, warm=0)
    contenders: list[Call | Command] = [ours]
    if shutil.which("kubectl"):
        for number, each in enumerate(targets):
            _write(folder / "rendered" / str(number), each.render(release))
        line = "for each in rendered/*; do kubectl kustomize $each >/dev/null || exit 1; done"
        contenders.append(Command("kubectl kustomize, of what was rendered", ["sh", "-c", line], folder, environment()))
    samples = interleave(contenders, times=5)
    table(f"render {RENDERED} Kubernetes targets", {f"{ours.name}, first": first[ours.name], **samples})
    seconds = {name: statistics.median(sample.cpu_s for sample in found) for name, found in samples.items()}
    print(f"  {seconds[ours.name]:.2f} s of CPU (aim 1)")
    for peer in contenders[1:]:
        print(f"  {seconds[peer.name] / seconds[ours.name]:.1f} × less CPU than {peer.name}")


def deploy(folder: Path) -> None:
    """From a tag to serving, step by step and beside kubectl; then a deployment that changes nothing."""
    try:
        kubeconfig = find_cluster()
    except LookupError as error:
        print(f"deployments are left out: {error}")
        return
    # A cluster may come with a kubectl that fits it.
    path = os.pathsep.join([str(kubeconfig.parent / "bin"), environment()["PATH"]])
    kept = {**environment(), **ENVIRONMENT, "PATH": path, "KUBECONFIG": str(kubeconfig)}
    kept["MLOPS_STATE_HOME"] = str(folder / "state")
    with patch.dict(os.environ, kept, clear=True):
        if shutil.which("kubectl") is None:
            print("deployments are left out: kubectl, the peer, is not here")
            return
        stand = _Stand(folder, kubeconfig)
        try:
            _first_deployments(stand)
            _same_again(stand)
        finally:
            stand.clear()


@dataclass
class _Request:
    """One of those that a deployment sends to the cluster's API."""

    method: str
    path: str
    body: Any
    options: Mapping[str, Any]


class _Steps:
    """How long each step took, turn by turn; one that is done twice in a turn counts together."""

    def __init__(self) -> None:
        self.found: dict[str, list[Sample]] = {}
        self._turn: dict[str, Sample] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        started, cpu_s = time.perf_counter(), time.process_time()
        yield
        before = self._turn.get(name, Sample(0.0, 0.0))
        spent = Sample(time.perf_counter() - started, time.process_time() - cpu_s)
        self._turn[name] = _sum([before, spent])

    @contextmanager
    def deployment(self) -> Iterator[None]:
        """Time the steps of a deployment that is made inside."""
        with ExitStack() as stack:
            for where, name, step in _STEPS:
                stack.enter_context(patch.object(where, name, self._timed(step, getattr(where, name))))
            with self.time(_REST):
                yield
        steps = _sum([self._turn.get(step, Sample(0.0, 0.0)) for _, _, step in _STEPS])
        whole = self._turn.pop(_REST)
        self._turn[_REST] = Sample(whole.wall_s - steps.wall_s, whole.cpu_s - steps.cpu_s)

    def end(self) -> None:
        """End a turn."""
        for name, sample in {**self._turn, "together": _sum(self._turn.values())}.items():
            self.found.setdefault(name, []).append(sample)
        self._turn = {}

    def _timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.time(step):
                return function(*arguments, **options)

        return timed


def _sum(samples: Iterable[Sample]) -> Sample:
    every = list(samples)
    return Sample(sum(each.wall_s for each in every), sum(each.cpu_s for each in every))


class _Targets(NamedTuple):
    """Those of one turn, by who deploys to them."""

    ours: str
    command: str
    kubectl: str


class _Stand:
    """A project whose versions are deployed, by us and by kubectl."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self.folder, self.kubeconfig = folder, kubeconfig
        self.turns = [_Targets(*(f"{who}{turn}" for who in ("ours", "command", "kubectl"))) for turn in range(TURNS)]
        self.same = _Targets("", "same", "same-kubectl")
        self._targets = [name for turn in (*self.turns, self.same) for name in turn if name]
        self._api = connect("KUBECONFIG", "")
        self.shop = Shop(folder, REGISTRY, kubeconfig, f"bench-{secrets.token_hex(4)}", self._targets)
        config = (self.root / "mlops.yaml").read_text("utf-8").replace(*_CPU)
        self.shop.place.commit({"mlops.yaml": config})
        self.shop.place.push()
        self._hidden = folder / "hidden"
        _write(self._hidden, {f"{_OF_THE_TESTS}.py": "raise ImportError\n"})

    @property
    def root(self) -> Path:
        """The clone."""
        return self.shop.place.root

    def tag(self, version: str) -> str:
        """Train *version*, and push its tag; what is timed begins after that."""
        self.shop.place.commit({"params.json": f'{{"accuracy": 0.9, "version": "{version}"}}'})
        self.shop.run("run")
        tag = f"churn@v{version}"
        git(self.root, "tag", tag)
        self.shop.place.push("HEAD:main", tag)
        return tag

    def push_image(self, version: str, service: Path) -> None:
        """Push the image with the folder *service*, and record it as a build would."""
        pushed = push_service(self.shop.image, service)
        self.shop.record_image(version, pushed.partition("@")[2])

    def rendered(self, version: str, *options: str) -> Path:
        """The folder with what is rendered of *version*."""
        place = self.root / "build" / f"{version}{''.join(options)}"
        self.shop.run("render", version, "-o", str(place), *options)
        return place

    def command(self, target: str, version: str) -> Command:
        """Our command."""
        words = [sys.executable, "-m", "mlops_ci", "-q", "deploy", target, "--version", version]
        return Command(_COMMAND, words, self.root, {**os.environ, "PYTHONPATH": str(self._hidden)})

    def deploy(self, target: str, version: str) -> Deployed:
        """What the command does, in this process."""
        with tempfile.TemporaryDirectory() as folder:
            return deploying.deploy(Project.open(self.root), target, version=version, into=Path(folder))

    def kubectl(self, target: str, version: str) -> Command:
        """The same by kubectl: the namespace, the manifests, the rollout."""
        namespace, place = self.shop.namespace(target), self.rendered(version) / "targets" / target
        line = f"kubectl create namespace {namespace} && kubectl apply --server-side -k {place} && "
        line += f"kubectl rollout status deployment/churn -n {namespace} --timeout=180s"
        return Command(_KUBECTL, ["sh", "-c", line], self.root, dict(os.environ))

    def stop(self, target: str) -> None:
        """Take away what *target* runs, at once."""
        root = f"namespaces/{self.shop.namespace(target)}"
        for path in (f"/apis/apps/v1/{root}/deployments", f"/api/v1/{root}/pods"):
            with suppress(ServiceError):
                self._api.send("DELETE", path, {"gracePeriodSeconds": 0})

    def clear(self) -> None:
        """Take away everything."""
        for target in self._targets:
            self.stop(target)
            with suppress(ServiceError):
                self._api.send("DELETE", f"/api/v1/namespaces/{self.shop.namespace(target)}")


def _first_deployments(stand: _Stand) -> None:
    steps = _Steps()
    found: dict[str, list[Sample]] = {}
    for turn, targets in enumerate(stand.turns):
        version = f"1.{turn}.0"
        _until_pushed(stand, steps, version)

        def ours(_: None, target: str = targets.ours, version: str = version) -> None:
            with steps.deployment():
                stand.deploy(target, version)

        calls: list[Call | Command] = [
            Call(_OURS, ours),
            stand.command(targets.command, version),
            stand.kubectl(targets.kubectl, version),
        ]
        for place in range(3):
            number = (turn + place) % 3
            found.setdefault(calls[number].name, []).append(calls[number].once())
            stand.stop(targets[number])
        steps.end()
    table("from a pushed tag to serving, step by step (first deployment, image prepared)", steps.found)
    table("a registered version with its image, until it serves (first deployment)", found)
    for name in (_OURS, _COMMAND):
        ratio(f"the time of kubectl: {name}", found[name], found[_KUBECTL])


def _until_pushed(stand: _Stand, steps: _Steps, version: str) -> None:
    tag = stand.tag(version)
    with steps.time("register"):
        register(Project.open(stand.root), tag)
    service = stand.rendered(version, "--with-model") / "service"
    with steps.time("push the prepared image"):
        stand.push_image(version, service)


def _same_again(stand: _Stand) -> None:
    """Deploy to a target what it runs already."""
    _until_pushed(stand, _Steps(), _SAME)
    target = stand.same.command
    stand.command(target, _SAME).once()
    stand.kubectl(stand.same.kubectl, _SAME).once()
    place = stand.rendered(_SAME) / "targets" / stand.same.kubectl
    dry = ["kubectl", "apply", "--server-side", "--dry-run=server", "-k", str(place)]

    def again(_: None = None) -> None:
        if stand.deploy(target, _SAME).new:
            raise SystemExit(f"{target} was deployed again, though nothing had changed")

    with _overheard() as requests:
        again()
    sent = list(requests)
    replay = Call("  its requests alone", _send, lambda: _opened(stand.kubeconfig, sent))
    command, ours = stand.command(target, _SAME), Call(_OURS, again)
    peer = Command("kubectl apply --dry-run=server -k", dry, stand.root, dict(os.environ))
    samples = interleave([command, ours, replay, peer], times=SAME_TURNS)
    table(f"a deployment that changes nothing ({len(sent)} requests to the cluster's API)", samples)
    for name in (_COMMAND, _OURS):
        pairs = zip(samples[name], samples[replay.name], strict=True)
        beyond = statistics.median(one.wall_s - other.wall_s for one, other in pairs)
        print(f"  {beyond:.2f} s beyond the API's own time (aim 1): {name}")
        ratio(f"the time of kubectl: {name}", samples[name], samples[peer.name])


@contextmanager
def _overheard() -> Iterator[list[_Request]]:
    """What is sent to the cluster's API meanwhile."""
    heard: list[_Request] = []
    answer = Api.answer

    def noted(api: Api, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, bytes]:
        heard.append(_Request(method, path, body, options))
        return answer(api, method, path, body, **options)

    with patch.object(Api, "answer", noted):
        yield heard


def _opened(kubeconfig: Path, requests: Sequence[_Request]) -> tuple[Any, list[tuple[str, str, Any, Any]]]:
    """The HTTP client of Kubernetes' own, which has no connection yet, and all that it is given to send."""
    from kubernetes import config  # noqa: PLC0415  # only this benchmark pays

    client = config.new_client_from_config(str(kubeconfig))
    ready = []
    for each in requests:
        content_type = each.options.get("content_type", "application/json")
        method, url, headers, *_ = client.param_serialize(
            each.method,
            each.path,
            query_params=list((each.options.get("query") or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        body = each.body if isinstance(each.body, bytes) or each.body is None else msgspec.json.encode(each.body)
        ready.append((method, url, headers, body))
    return client.rest_client.pool_manager, ready


def _send(given: tuple[Any, list[tuple[str, str, Any, Any]]]) -> None:
    pool, ready = given
    for method, url, headers, body in ready:
        if pool.request(method, url, body=body, headers=headers).status >= 500:
            raise SystemExit(f"the cluster's API did not answer {method} {url}")


def _target(number: int, folder: Path) -> KubernetesTarget:
    """No two are the same."""
    said = {"replicas": number % 5 + 1, "ingress": {"host": f"cancer-{number}.example.org"}}
    options = msgspec.convert(said, KubernetesTarget.Options)
    return KubernetesTarget(f"target-{number}", options, project="bench", state=folder)  # type: ignore[arg-type]


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
