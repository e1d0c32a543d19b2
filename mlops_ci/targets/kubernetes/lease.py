"""
The lock of a target: a Lease, as Kubernetes' own controllers take one, in the namespace of the target.

No two clocks are compared: whoever finds a Lease taken watches whether it is renewed, for as long as it is good by
itself. Every step is bound to the version of the Lease that was looked at, so of two that take it one succeeds.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import quote

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes import namespaces
from mlops_ci.targets.kubernetes.api import Api, Denied
from mlops_ci.targets.kubernetes.objects import Object

_DURATION_S = 15.0
_LOOKS = 15
_LONGEST_S = 300
_RENEWAL_TIMEOUT_S = 5.0
_TAKES = 20
_LABELS = {"app.kubernetes.io/managed-by": "mlops-ci"}


@contextmanager
def held(
    api: Api,
    namespace: str,
    name: str,
    owner: str,
    *,
    duration_s: float = _DURATION_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """
    Hold the Lease *name*, renewed all the time by a thread of its own; a namespace that is missing is made.

    A holder that cannot renew it for longer than its duration, because the API was away or its machine stood still, may
    lose it to somebody else. `Lease.demand` tells before something is changed; nothing does at the end.

    Args:
        api: The cluster's.
        namespace: Where the Lease is.
        name: Of the Lease.
        owner: Who we are, for those who have to wait.
        duration_s: For how long it is good without being renewed.
        clock: Seconds that never go back; only differences count.
        sleep: Waits so many of them.

    Raises:
        ServiceError: Somebody else holds it and is alive, or our rights do not suffice, or nobody answered.
    """
    lease = Lease(api, namespace, name, f"{owner} {secrets.token_hex(8)}", duration_s)
    lease.take(clock, sleep)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, ended), daemon=True, name=f"lease {name}")
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join(_RENEWAL_TIMEOUT_S)
        with suppress(ServiceError):  # then it runs out by itself
            lease.release()


def _renew(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(lease.duration_s / 3):
        with suppress(ServiceError):
            if not lease.renew():
                return


class Lease:
    """One taking of a Lease, by *holder*, whom nobody else is called."""

    def __init__(self, api: Api, namespace: str, name: str, holder: str, duration_s: float) -> None:
        self.duration_s = duration_s
        self._api = api
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"
        self._one = f"{self._all}/{quote(name, safe='')}"
        self._found: Object = {}

    def take(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Take it; raises `ServiceError` if somebody holds it who is alive."""
        seen: Object | None = None
        for _ in range(_TAKES):
            found = self._create() or self._read()
            if found is None:
                continue
            if self._is_ours(found):
                self._found = found
                return
            if _holder(found):
                if seen is not None and _holder(found) != _holder(seen):
                    raise self._taken(found)
                seen = found
                found = self._abandoned(found, clock, sleep)
            if found is not None and self._replace(found):
                return
        raise ServiceError(
            f"the lock {self._name} in {self._namespace} changes all the time", hint="run the same command again"
        )

    def renew(self) -> bool:
        """Say that we are alive; False if it is not ours any more. Raises `ServiceError` if nobody answered."""
        if self._replace(self._found, timeout_s=_RENEWAL_TIMEOUT_S):
            return True
        # What was sent twice was refused the second time.
        found = self._read()
        if found is None or not self._is_ours(found):
            return False
        self._found = found
        return True

    def demand(self) -> None:
        """Raise `ServiceError` if it is not ours any more."""
        found = self._read()
        if found is not None and self._is_ours(found):
            return
        whom = found and _holder(found).rpartition(" ")[0]
        raise ServiceError(
            f"the lock {self._name} in {self._namespace} was lost to {whom or 'somebody who has let go of it since'}",
            hint="run the same command again",
        )

    def release(self) -> None:
        """Take away what is ours, and nothing else. Raises `ServiceError` if nobody answered."""
        for _ in range(3):
            metadata = self._found["metadata"]
            versions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": versions}
            try:
                self._api.send("DELETE", self._one, options)
            except Denied as error:
                if error.status != 409:
                    return
            else:
                return
            found = self._read()
            if found is None or not self._is_ours(found):
                return
            self._found = found

    def _create(self) -> Object | None:
        """Make it; None if it is there. Makes the namespace, too, if that is missing."""
        metadata = {"name": self._name, "namespace": self._namespace, "labels": _LABELS}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": self._spec({})}
        try:
            made: Object = json.loads(self._api.send("POST", self._all, lease))
        except Denied as error:
            if error.status == 409:
                return None
            # A namespace that is going is refused as if our rights did not suffice.
            if error.status not in (403, 404) or namespaces.exists(self._api, self._namespace):
                raise
            namespaces.make(self._api, self._namespace)
            return None
        return made

    def _read(self) -> Object | None:
        try:
            found: Object = self._api.get(self._one)
        except Denied as error:
            if error.status != 404:
                raise
            return None
        return found

    def _replace(self, found: Object, timeout_s: float = _RENEWAL_TIMEOUT_S) -> bool:
        """Write ourselves into it, as long as nobody has touched *found*."""
        body = {**found, "spec": self._spec(found.get("spec") or {})}
        try:
            self._found = json.loads(self._api.send("PUT", self._one, body, timeout_s=timeout_s))
        except Denied as error:
            if error.status not in (404, 409):
                raise
            return False
        return True

    def _spec(self, before: Object) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = before.get("holderIdentity") == self._holder
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": max(1, math.ceil(self.duration_s)),
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (bool(before) and not ours),
        }

    def _abandoned(self, found: Object, clock: Callable[[], float], sleep: Callable[[float], None]) -> Object | None:
        """*found* if it stays as it is for as long as it is good, None if it was released; raises if it is renewed."""
        duration_s = min(found["spec"].get("leaseDurationSeconds") or _DURATION_S, _LONGEST_S)
        end = clock() + duration_s
        while clock() < end:
            sleep(duration_s / _LOOKS)
            now = self._read()
            if now is None or not _holder(now):
                return now
            if _version(now) != _version(found):
                raise self._taken(now)
        return found

    def _is_ours(self, found: Object) -> bool:
        return _holder(found) == self._holder

    def _taken(self, found: Object) -> ServiceError:
        who = _holder(found).rpartition(" ")[0] or _holder(found)
        since = _since(str(found["spec"].get("acquireTime") or ""))
        return ServiceError(
            f"{who} is deploying to {self._namespace}{since}",
            hint="wait until that has ended, then run the same command again",
        )


def _holder(found: Object) -> str:
    return str((found.get("spec") or {}).get("holderIdentity") or "")


def _version(found: Object) -> tuple[str, str]:
    return found["metadata"]["uid"], found["metadata"]["resourceVersion"]


def _since(text: str) -> str:
    """A time of the API in words; the day only where it is another."""
    try:
        time_ = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return ""
    today = time_.date() == datetime.now(UTC).date()
    return f" since {time_:%H:%M} (UTC)" if today else f" since {time_:%Y-%m-%d %H:%M} (UTC)"
