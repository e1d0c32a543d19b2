"""Asks a service through the cluster's API: no Ingress, and no way into the cluster's network, is needed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from urllib.parse import quote

from mlops_ci.errors import ServiceError
from mlops_ci.targets import Answer, Ask
from mlops_ci.targets.kubernetes.api import Api
from mlops_ci.targets.kubernetes.objects import Object

KEY = "MLOPS_SMOKE_API_KEY"
"""The environment variable with an API key of the service, where it demands one."""

_PATIENCE_S = 20.0
_PAUSE_S = 0.5


def ask_through(
    api: Api,
    objects: list[Object],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Ask:
    """
    Return what asks the Service among *objects* through the proxy of the API, at its port "http".

    An API key goes into `X-API-Key`: `Authorization`, which the service would take as well, is the API server's own and
    never reaches the service. That no pod is there yet is asked again for some seconds.

    Args:
        api: The cluster's; what asks raises `ServiceError` if it answers instead of the service.
        objects: What was applied.
        clock: Seconds that never go back.
        sleep: Waits so many of them.

    Raises:
        ServiceError: There is no Service among *objects*.
    """
    service = next((each for each in objects if each["kind"] == "Service"), None)
    if service is None:
        raise ServiceError(
            "the manifests have no Service, so nobody can be asked", hint="render one, or deploy without the smoke test"
        )
    name = service["metadata"]["name"]
    root = (
        f"/api/v1/namespaces/{quote(service['metadata']['namespace'], safe='')}/services/http:{quote(name)}:http/proxy"
    )
    key = os.environ.get(KEY, "")
    headers = {"X-API-Key": key} if key else {}

    def ask(path: str, body: bytes | None = None) -> Answer:
        end = clock() + _PATIENCE_S
        while True:
            method = "GET" if body is None else "POST"
            status, said = api.answer(method, f"{root}{path}", body, headers=headers, again=False)
            problem = _not_the_service(status, said)
            if problem is None:
                return Answer(status, said)
            if status not in (502, 503) or clock() > end:
                raise _refused(name, status, problem)
            sleep(_PAUSE_S)

    return ask


def _not_the_service(status: int, said: bytes) -> str | None:
    """What the API server says in the place of the service; None if the service said it."""
    if status < 400:
        return None
    text = said.decode(errors="replace")
    # How its proxy says that a pod refused the connection; newer versions say it in a Status.
    if text.startswith("Error: ") and "Trying to reach: " in text:
        return text.partition("\n")[0].removeprefix("Error: ").strip("'")
    try:
        found = json.loads(said)
    except ValueError:
        return None
    if isinstance(found, dict) and found.get("kind") == "Status" and found.get("apiVersion") == "v1":
        return str(found.get("message") or found.get("reason") or f"HTTP {status}")
    return None


def _refused(name: str, status: int, problem: str) -> ServiceError:
    said = " ".join(problem.split())
    if status == 403:
        return ServiceError(
            f"our rights do not suffice to ask the Service {name} through the cluster's API: {said}",
            hint="the role wants `get` and `create` of services/proxy; setup/deployer.yaml holds it",
        )
    if status == 404:
        return ServiceError(f"there is no Service {name} to be asked: {said}", hint="run the same command again")
    return ServiceError(
        f"the Service {name} cannot be reached through the cluster's API: {said}",
        hint="a NetworkPolicy may keep the API server out, or the pods are ending; `kubectl get endpoints` shows them",
    )
