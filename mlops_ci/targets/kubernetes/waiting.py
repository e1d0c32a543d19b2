"""
Follows a rollout until it is complete, and says what is the matter where it does not get there.

Complete is what `kubectl rollout status` takes for it. Pods of before that are still ending are not waited for: they
get no requests any more.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from mlops_ci.capture.secrets import redact_text
from mlops_ci.errors import ServiceError
from mlops_ci.targets import Status, Tell
from mlops_ci.targets.kubernetes import findings
from mlops_ci.targets.kubernetes.addresses import url_of
from mlops_ci.targets.kubernetes.api import Api, Denied
from mlops_ci.targets.kubernetes.findings import Finding, Logs
from mlops_ci.targets.kubernetes.objects import PLAN, Object, Scope, workload
from mlops_ci.targets.kubernetes.rollouts import complete, condition, newest, observed, pods_of
from mlops_ci.targets.kubernetes.rollouts import ready as is_ready

_POLL_S = 1.0
_MARGIN_S = 30.0
_STANDING_S = 20.0  # in which a kubelet tries again to make a container
_PROGRESS_S = 600  # what Kubernetes takes for `progressDeadlineSeconds` if nobody says
_LOOKED_AT = 3
_TAIL = 40
_LINES = 5
_LINE_LENGTH = 200
_COLOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HINT = "`kubectl describe deployment` and `kubectl get events` say more"


class _View(NamedTuple):
    """What the cluster says at one moment. *pods* are those of the present template."""

    deployment: Object
    pods: list[Object]
    events: list[Object]
    found: list[Finding]


def wait(
    api: Api,
    objects: list[Object],
    tell: Tell,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """
    Follow the Deployment among *objects* until its rollout is complete, and return the service's URL.

    It is given up when the cluster gives it up, when what is the matter does not go away by waiting, or when nothing
    has moved for the Deployment's own deadline and a margin.

    Args:
        api: The cluster's.
        objects: What was applied.
        tell: Told what changed.
        clock: Seconds that never go back.
        sleep: Waits so many of them.

    Raises:
        ServiceError: It does not become ready, and why; the last words of the container that ended follow.
    """
    wanted = workload(objects)
    if wanted is None:
        return ""
    follower = _Follower(api, wanted, tell, clock)
    last_progress, moved_at = None, clock()
    while not follower.look():
        if follower.progress != last_progress:
            last_progress, moved_at = follower.progress, clock()
        if clock() - moved_at > follower.patience_s:
            raise follower.too_late()
        sleep(_POLL_S)
    return url_of(objects)


def status(api: Api, scope: Scope) -> Status | None:
    """
    Return what the Deployment with the labels of *scope* says of itself; None if there is none.

    Raises:
        ServiceError: Nobody answered, or our rights do not suffice.
    """
    listed = _listed(api, f"/apis/apps/v1/namespaces/{quote(scope.namespace, safe='')}/deployments", scope.query)
    deployments = sorted(listed, key=lambda each: str(each["metadata"]["name"]))
    if not deployments:
        return None
    annotations = deployments[0]["metadata"].get("annotations") or {}
    return Status(
        model=annotations.get("mlops-ci/model", ""),
        version=annotations.get("mlops-ci/version", ""),
        digest=annotations.get("mlops-ci/model-digest", ""),
        url=url_of(_entrances(api, scope)),
        plan_digest=annotations.get(PLAN, ""),
        ready=all(complete(each) for each in deployments),
    )


class _Follower:
    """Looks at one Deployment again and again, and tells what is new."""

    def __init__(self, api: Api, wanted: Object, tell: Tell, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._found_at_first: set[str] = set()
        self._first_at = 0.0
        self._namespace = quote(wanted["metadata"]["namespace"], safe="")
        self._name = wanted["metadata"]["name"]
        self._tell = tell
        self._told: dict[str, str] = {}
        self._view: _View | None = None
        self._away: ServiceError | None = None
        self._given_up_before: Object | None = None
        self.patience_s = wanted["spec"].get("progressDeadlineSeconds", _PROGRESS_S) + _MARGIN_S

    @property
    def progress(self) -> tuple[Any, ...]:
        """Is another when the rollout has moved."""
        said = (self._view.deployment.get("status") or {}) if self._view else {}
        names = ("observedGeneration", "replicas", "updatedReplicas", "availableReplicas")
        return tuple(said.get(name) for name in names)

    def look(self) -> bool:
        """
        Whether the rollout is complete now; while the API is away it is not.

        Raises:
            ServiceError: There is no hope, or the Deployment is gone, or our rights do not suffice.
        """
        try:
            view = self._look()
        except Denied as error:
            if error.status < 500 and error.status != 429:
                raise
            return self._is_away(error)
        except ServiceError as error:
            return self._is_away(error)
        if self._away is not None:
            self._away = None
            self._say("api", "the cluster answers again")
        if self._view is None:
            self._given_up_before = _given_up(view.deployment)
            self._found_at_first = {_steady(finding) for finding in view.found}
            self._first_at = self._clock()
        self._view = view
        self._report(view)
        if complete(view.deployment):
            return True
        if observed(view.deployment):
            self._give_up(view)
        return False

    def too_late(self) -> ServiceError:
        """What is said when time is over."""
        if self._away is not None:
            return self._away
        found = self._view.found if self._view else []
        return self._failure(found[0] if found else None)

    def _is_away(self, error: ServiceError) -> bool:
        self._away = error
        self._say("api", f"{error}; still trying")
        return False

    def _look(self) -> _View:
        root = f"/apis/apps/v1/namespaces/{self._namespace}"
        deployment = self._api.get(f"{root}/deployments/{quote(self._name, safe='')}")
        if complete(deployment):
            return _View(deployment, [], [], [])
        chosen = deployment["spec"]["selector"].get("matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in sorted(chosen.items()))
        sets = self._readable(f"{root}/replicasets", labelSelector=selector)
        listed = self._readable(f"/api/v1/namespaces/{self._namespace}/pods", labelSelector=selector)
        current = newest(deployment, sets)
        pods = pods_of(current, listed)
        waiting = [pod for pod in pods if not is_ready(pod)][:_LOOKED_AT]
        events = [event for each in [*([current] if current else []), *waiting] for event in self._events(each)]
        return _View(deployment, pods, events, findings.find(deployment, sets, listed, events))

    def _events(self, of: Object) -> list[Object]:
        chosen = f"involvedObject.uid={of['metadata']['uid']}"
        return self._readable(f"/api/v1/namespaces/{self._namespace}/events", fieldSelector=chosen)

    def _readable(self, path: str, **query: str) -> list[Object]:
        """The objects at *path*; none where we may not look, which is said once."""
        try:
            return list(self._api.get(path, **query).get("items") or [])
        except Denied as error:
            if error.status != 403:
                raise
            self._say(path, f"what the pods meet cannot be told: {error}")
            return []

    def _report(self, view: _View) -> None:
        said = view.deployment.get("status") or {}
        wanted = view.deployment["spec"].get("replicas", 1)
        ready = min(said.get("availableReplicas", 0), said.get("updatedReplicas", 0))
        if not complete(view.deployment):
            # Those of before count as available, too; here they must not.
            ready = sum(is_ready(pod) for pod in view.pods)
        self._say("", f"{ready} of {wanted} pods are ready")
        for finding in view.found:
            if not finding.fatal and not finding.usual:
                self._say(_steady(finding), finding.sentence)
        for pod in view.pods:
            name = pod["metadata"]["name"]
            if not is_ready(pod) and (line := _state(pod, view.events)):
                self._say(name, f"pod {name}: {line}")

    def _say(self, about: str, line: str) -> None:
        if self._told.get(about) != line and not (about.startswith("#") and about in self._told):
            self._tell(line)
        self._told[about] = line

    def _give_up(self, view: _View) -> None:
        """Raise if it will not become ready."""
        found = view.found
        if self._clock() - self._first_at < _STANDING_S:
            # Whoever mended something and runs the same command again meets what the pods said before.
            found = [finding for finding in found if _steady(finding) not in self._found_at_first]
        hopeless = findings.fatal(found)
        # What was said of the rollout before stands there until the controller sees this one move.
        given_up = _given_up(view.deployment)
        late = given_up is not None and given_up != self._given_up_before
        if hopeless or late:
            raise self._failure(hopeless or next(iter(view.found), None))

    def _failure(self, finding: Finding | None) -> ServiceError:
        if finding is None:
            limit = self.patience_s - _MARGIN_S
            return ServiceError(f"the Deployment {self._name} has not moved for {limit:g} s", hint=_HINT)
        lines = self._last_words(finding.logs) if finding.logs else []
        said = "".join(f"\n  {line}" for line in lines)
        return ServiceError(f"{finding.sentence}{'; it said:' if said else ''}{said}", hint=finding.hint)

    def _last_words(self, logs: Logs) -> list[str]:
        """The last lines of a container's log; none if they cannot be had."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{quote(logs.pod, safe='')}/log"
        query = {"container": logs.container, "tailLines": str(_TAIL), "previous": str(logs.previous).lower()}
        for previous in dict.fromkeys([query["previous"], "false", "true"]):
            with suppress(ServiceError):
                data = self._api.send("GET", path, query={**query, "previous": previous})
                if lines := _shown(data.decode(errors="replace")):
                    return lines
        return []


def _steady(finding: Finding) -> str:
    """What a finding is known by: the numbers in it change with every attempt."""
    return "#" + re.sub(r"\d+", "#", finding.sentence)


def _given_up(deployment: Object) -> Object | None:
    """The condition with which the controller gives up a rollout."""
    progressing = condition(deployment, "Progressing")
    return progressing if progressing and progressing.get("reason") == "ProgressDeadlineExceeded" else None


def _shown(log: str) -> list[str]:
    """The last lines of *log* that say something: printable, short, without what looks like a secret."""
    lines = ("".join(each for each in _COLOR.sub("", line) if each.isprintable()) for line in log.splitlines())
    kept = [redact_text(line) for line in lines if line.strip()][-_LINES:]
    return [line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}…" for line in kept]


def _state(pod: Object, events: list[Object]) -> str:
    """What a pod that is not ready is doing; "" if nothing is known."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    states = [each.get("state") or {} for each in statuses]
    if any("running" in state for state in states):
        return "started"
    if any((state.get("waiting") or {}).get("reason") in ("ContainerCreating", "PodInitializing") for state in states):
        uid = pod["metadata"]["uid"]
        own = [each for each in events if each["involvedObject"].get("uid") == uid]
        pulls = [each for each in own if each.get("reason") in ("Pulling", "Pulled")]
        if any(each["reason"] == "Pulled" for each in pulls):
            return "starting"
        return "pulling the image" if pulls else "being created"
    return ""


def _entrances(api: Api, scope: Scope) -> list[Object]:
    """What of ours leads to the service; what we may not see, or the cluster does not have, is not among it."""
    namespace = quote(scope.namespace, safe="")
    found: list[Object] = []
    for kind, path in (
        ("Ingress", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"),
        ("HTTPRoute", f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes"),
        ("Service", f"/api/v1/namespaces/{namespace}/services"),
    ):
        try:
            listed = _listed(api, path, scope.query)
        except Denied as error:
            if error.status not in (403, 404):
                raise
            continue
        # The items of a list do not say their kind.
        found += [{**each, "kind": kind} for each in listed]
    return found


def _listed(api: Api, path: str, labels: str) -> list[Object]:
    return list(api.get(path, labelSelector=labels).get("items") or [])
