"""
What keeps a rollout from getting ready, in sentences. Pure: it looks at what the API returned.

Only the pods of the Deployment's present template count: what is the matter with older ones is going away.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from mlops_ci.targets.kubernetes import pulling, scheduling
from mlops_ci.targets.kubernetes.objects import Object
from mlops_ci.targets.kubernetes.rollouts import condition, newest, pods_of, ready

_RESTARTS = 2
_BY_SIGNAL = 128
_SAID_BY_OTHERS = ("OOMKilled", "StartError", "ContainerCannotRun")
_LONGEST = 300

_RIGHTS_HINT = "the rules of the namespace are its administrator's: `kubectl describe quota,limitrange`"
_CONFIG_HINT = (
    "make it in the namespace, then run the same command again; `kubectl get secrets,configmaps` shows what is there"
)


class Logs(NamedTuple):
    """Whose log tells more. *previous*: of the container before its last restart."""

    pod: str
    container: str
    previous: bool


class Finding(NamedTuple):
    """
    What is the matter.

    Attributes:
        sentence: Says it.
        hint: What can be done.
        fatal: Whether waiting does not help.
        logs: Where the service may have said why; None if nothing of it ran.
        usual: Whether every start looks like that for a while.
    """

    sentence: str
    hint: str
    fatal: bool
    logs: Logs | None = None
    usual: bool = False


class _Seen(NamedTuple):
    """One pod and what happened to it, the latest last."""

    pod: Object
    events: list[Object]

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def containers(self) -> list[Object]:
        status = self.pod.get("status") or {}
        return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]

    def last(self, *reasons: str) -> Object | None:
        return next((event for event in reversed(self.events) if event.get("reason") in reasons), None)


def find(deployment: Object, replica_sets: list[Object], pods: list[Object], events: list[Object]) -> list[Finding]:
    """Return what keeps *deployment* from getting ready: what is fatal first, then the most telling; one of a kind."""
    current = newest(deployment, replica_sets)
    seen = [_Seen(pod, _of(pod, events)) for pod in pods_of(current, pods) if not ready(pod)]
    found: list[Finding] = list(_paused(deployment))
    if current is not None:
        found += _not_created(current, _of(current, events))
    for rule in _RULES:
        ours = [finding for each in seen for finding in rule(each)]
        found += sorted(ours, key=lambda finding: not finding.fatal)[:1]
    if not found:
        found = [finding for each in seen for finding in _never_ready(each)][:1]
    lines = [finding._replace(sentence=_line(finding.sentence)) for finding in found]
    return sorted(lines, key=lambda finding: not finding.fatal)


def fatal(found: Iterable[Finding]) -> Finding | None:
    """The first of *found* that waiting does not help; None if it may."""
    return next((finding for finding in found if finding.fatal), None)


def _paused(deployment: Object) -> Iterator[Finding]:
    if deployment["spec"].get("paused"):
        name = deployment["metadata"]["name"]
        yield Finding(f"the Deployment {name} is paused", f"kubectl rollout resume deployment/{name}", fatal=True)


def _not_created(replica_set: Object, events: list[Object]) -> Iterator[Finding]:
    """A quota, a limit range, a webhook or the Pod Security admission that lets no pod through."""
    status, wanted = replica_set.get("status") or {}, replica_set["spec"].get("replicas", 1)
    if status.get("replicas", 0) >= wanted:
        return
    failure = condition(replica_set, "ReplicaFailure")
    event = next((each for each in reversed(events) if each.get("reason") == "FailedCreate"), None)
    said = str((failure or event or {}).get("message", ""))
    if not said:
        return
    reason = re.sub(r'^(Error creating: )?(pods "[^"]*" is forbidden: )?', "", said)
    if quota := re.match(r"exceeded quota: (\S+), requested: (.*), used: (.*), limited: (.*)", reason):
        name, asked, used, limited = quota.groups()
        sentence = (
            f"the quota {name} of the namespace admits no more pods: {asked} is asked for, {used} of {limited} is used"
        )
        yield Finding(sentence, f"lower the target's `resources` or `replicas`; {_RIGHTS_HINT}", fatal=True)
        return
    # A webhook that is away comes back, and a ServiceAccount may have been applied a moment ago.
    passing = "failed calling webhook" in reason or "serviceaccount" in reason
    yield Finding(f"the cluster admits no pods: {_brief(reason)}", _RIGHTS_HINT, fatal=not passing)


def _not_pulled(seen: _Seen) -> Iterator[Finding]:
    for container in seen.containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in pulling.REASONS:
            continue
        told = [
            str(event.get("message", "")) for event in seen.events if event.get("reason") in ("Failed", "InspectFailed")
        ]
        why, hint = pulling.explain(str(container.get("image", "")), [*told, str(waiting.get("message", ""))])
        # Now and then it is tried again, and then the reason is for a moment the one of the first time.
        given_up = waiting["reason"] in pulling.HOPELESS or "Error: ImagePullBackOff" in told
        yield Finding(f"pod {seen.name}: {why}", hint, fatal=given_up)


def _not_configured(seen: _Seen) -> Iterator[Finding]:
    for container in seen.containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") == "CreateContainerConfigError":
            message = str(waiting.get("message", ""))
            what, hint = _configuration(message)
            # The kubelet says so, too, while it has only not yet fetched what is there.
            yield Finding(f"pod {seen.name} cannot start: {what}", hint, fatal="failed to sync" not in message)


def _configuration(message: str) -> tuple[str, str]:
    if found := re.match(r'(secret|configmap) "([^"]+)" not found', message):
        kind = "Secret" if found[1] == "secret" else "ConfigMap"
        return f"the {kind} {found[2]} is not in the namespace", _CONFIG_HINT
    if found := re.match(r"couldn't find key (\S+) in (Secret|ConfigMap) \S*?/?([^/\s]+)$", message):
        return f"the {found[2]} {found[3]} has no key {found[1]}", "add the key, then run the same command again"
    if "run as root" in message or "non-numeric user" in message or "non-root" in message:
        return _brief(message.partition(" (pod: ")[0]), "let the image's USER be a number other than 0"
    return _brief(message), _CONFIG_HINT


def _not_started(seen: _Seen) -> Iterator[Finding]:
    for container in seen.containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = _ended(container) or {}
        # An exit code of 128 alone is the runtime's, too: the command was never run.
        if ended.get("reason") in ("StartError", "ContainerCannotRun"):
            said = str(ended.get("message") or waiting.get("message", ""))
        elif waiting.get("reason") in ("RunContainerError", "CreateContainerError"):
            said = str(waiting.get("message", ""))
        else:
            continue
        inner = re.findall(r'(exec: "[^"]*": .*?)(?:: unknown)?$', said, re.DOTALL)
        hopeless = bool(inner) or _restarts(container) >= _RESTARTS
        why = _brief(inner[0] if inner else said)
        sentence = f"pod {seen.name}: the container {container['name']} cannot be started: {why}"
        yield Finding(
            sentence, "the image, or the template of the Deployment, names a command that does not run there", hopeless
        )


def _not_mounted(seen: _Seen) -> Iterator[Finding]:
    event = seen.last("FailedMount", "FailedAttachVolume")
    started = any((each.get("state") or {}).get("running") or _ended(each) for each in seen.containers)
    if event is None or started:
        return
    # The later "timed out waiting for the condition" says less than the one before.
    told = [str(each.get("message", "")) for each in seen.events if each.get("reason") == event["reason"]]
    said = next((text for text in reversed(told) if "timed out waiting" not in text), told[-1])
    found = re.search(r'volume "([^"]+)"', said)
    volume = f"the volume {found[1]}" if found else "a volume"
    missing = re.search(r'(secret|configmap|persistentvolumeclaim) "([^"]+)" not found', said)
    what = f"there is no {missing[1]} {missing[2]}" if missing else _brief(said.rpartition(" : ")[2])
    hint = _CONFIG_HINT if missing else f"`kubectl describe pod {seen.name}` says more"
    yield Finding(f"pod {seen.name} waits for {volume}: {what}", hint, fatal=False)


def _out_of_memory(seen: _Seen) -> Iterator[Finding]:
    for container in seen.containers:
        ended = _ended(container)
        if ended is None or ended.get("reason") != "OOMKilled":
            continue
        limit = _resources(seen.pod, container["name"], "limits").get("memory")
        over = f"its limit of {limit}" if limit else "it may have"
        sentence = f"pod {seen.name} needs more memory than {over}: it was killed {_times(container)} (OOMKilled)"
        logs = _logs(seen, container)
        yield Finding(sentence, "raise the target's `resources.memory`", _restarts(container) >= _RESTARTS, logs)


def _crashed(seen: _Seen) -> Iterator[Finding]:
    for container in seen.containers:
        ended = _ended(container)
        if ended is None or ended.get("reason") in _SAID_BY_OTHERS or container.get("ready") or _killed_by_probe(seen):
            continue
        code = int(ended.get("exitCode", 0))
        how = f"{_how(code, ended.get('signal'))} ({_times(container)})"
        sentence = f"pod {seen.name}: the container {container['name']} {how}"
        hint = "its log says why; `docker run` with the same image and environment shows it, too"
        yield Finding(sentence, hint, _restarts(container) >= _RESTARTS, _logs(seen, container))


def _probed(seen: _Seen) -> Iterator[Finding]:
    event, killed = seen.last("Unhealthy"), _killed_by_probe(seen)
    # Nothing answers while it is down; why it is down says more.
    down = not killed and any(_ended(each) for each in seen.containers if not each.get("ready"))
    if event is None or down or not seen.containers:
        return
    said = str(event.get("message", ""))
    found = re.match(r"(Startup|Readiness|Liveness) probe (?:failed|errored): ?(.*)", said, re.DOTALL)
    which, answer = (found[1].lower(), found[2]) if found else ("", said)
    container = next((each for each in seen.containers if not each.get("ready")), None)
    again = "; it was restarted for that" if killed else ""
    sentence = (
        f"pod {seen.name}: the {which} probe fails: {_answered(answer, _probe(seen.pod, container, which))}{again}"
    )
    hint = "its log may say why; a model that takes long to load wants a larger `start_timeout_s`"
    logs = _logs(seen, container) if container else None
    yield Finding(sentence.replace("the  probe", "a probe"), hint, fatal=False, logs=logs, usual=not killed)


def _not_scheduled(seen: _Seen) -> Iterator[Finding]:
    scheduled = condition(seen.pod, "PodScheduled") or {}
    if scheduled.get("status") != "False":
        return
    said = str(scheduled.get("message", ""))
    reasons = _brief(scheduling.explain(said, seen.pod))
    hint = (
        "add nodes, or lower the target's `resources`"
        if "Insufficient" in said
        else "`kubectl describe nodes` shows what they offer"
    )
    yield Finding(f"pod {seen.name} finds no node: {reasons}", hint, fatal=False)


def _evicted(seen: _Seen) -> Iterator[Finding]:
    status = seen.pod.get("status") or {}
    if status.get("phase") != "Failed" or not status.get("reason"):
        return
    said = _brief(str(status.get("message", "")))
    if status["reason"] == "Evicted":
        hint = "the node had too little of it, or the pod took more than it may: look at the target's `resources`"
        yield Finding(f"pod {seen.name} was evicted: {said}", hint, fatal=False)
    else:
        yield Finding(
            f"pod {seen.name} failed ({status['reason']}): {said}", "`kubectl get events` says more", fatal=False
        )


def _never_ready(seen: _Seen) -> Iterator[Finding]:
    for container in seen.containers:
        if (container.get("state") or {}).get("running") and not container.get("ready"):
            sentence = f"pod {seen.name} runs, and the container {container['name']} does not become ready"
            logs = Logs(seen.name, str(container["name"]), previous=False)
            yield Finding(sentence, "its log may say why", fatal=False, logs=logs, usual=True)
            return
    said = _brief(str((condition(seen.pod, "Ready") or {}).get("message", ""))) or "nothing says why"
    hint = f"`kubectl describe pod {seen.name}` says more"
    yield Finding(f"pod {seen.name} does not become ready: {said}", hint, fatal=False, usual=True)


_RULES: tuple[Callable[[_Seen], Iterator[Finding]], ...] = (
    _not_pulled,
    _not_configured,
    _not_started,
    _out_of_memory,
    _crashed,
    _not_mounted,
    _evicted,
    _probed,
    _not_scheduled,
)


def _ended(container: Object) -> Object | None:
    """How the container ended last, if it did."""
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        if "terminated" in state:
            ended: Object = state["terminated"]
            return ended
    return None


def _restarts(container: Object) -> int:
    return int(container.get("restartCount", 0))


def _times(container: Object) -> str:
    """How often it has ended."""
    state = container.get("state") or {}
    count = _restarts(container) + ("terminated" in state)
    # While it waits to be started again the last end is not among the restarts.
    count += (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    return {0: "once", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _how(code: int, number: int | None) -> str:
    number = number or (code - _BY_SIGNAL if code > _BY_SIGNAL else 0)
    with suppress(ValueError):
        if number:
            return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def _logs(seen: _Seen, container: Object) -> Logs:
    """The log of the container that ended, which is the previous one as soon as the next has begun."""
    begun = "running" in (container.get("state") or {}) and "terminated" in (container.get("lastState") or {})
    return Logs(seen.name, str(container["name"]), previous=begun)


def _killed_by_probe(seen: _Seen) -> bool:
    event = seen.last("Killing")
    return event is not None and "probe" in str(event.get("message", ""))


def _probe(pod: Object, container: Object | None, which: str) -> Object:
    name = container["name"] if container else ""
    spec: Object = next((each for each in pod["spec"]["containers"] if each["name"] == name), {})
    probe: Object = spec.get(f"{which}Probe") or {}
    return probe


def _answered(said: str, probe: Object) -> str:
    """What the probe met, with the path that it asked."""
    path = (probe.get("httpGet") or {}).get("path", "")
    if found := re.match(r"HTTP probe failed with statuscode: (\d+)", said):
        return f"{path or 'it'} answers {found[1]}"
    if found := re.match(r'Get "?\w+://[^/\s]+(/[^"\s:]*)"?: (.*)', said, re.DOTALL):
        why = "the connection is refused" if "connection refused" in found[2] else _brief(found[2])
        why = "no answer in time" if "Client.Timeout" in found[2] or "deadline exceeded" in found[2] else why
        return f"{found[1]}: {why}"
    return _brief(said) or "it says nothing"


def _resources(pod: Object, container: str, which: str) -> dict[str, Any]:
    spec: Object = next((each for each in pod["spec"]["containers"] if each["name"] == container), {})
    found: dict[str, Any] = (spec.get("resources") or {}).get(which) or {}
    return found


def _of(found: Object, events: list[Object]) -> list[Object]:
    uid = found["metadata"]["uid"]
    own = [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]
    return sorted(own, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))


def _brief(text: str) -> str:
    plain = _line(text)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"


def _line(text: str) -> str:
    """What a program said, as one line of what can be printed."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
