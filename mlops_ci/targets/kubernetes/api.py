"""
The cluster's API: one request at a time, by path, with the official client's credentials, TLS and retries.

Every request of ours may be sent twice (reads, server-side apply, deletion by name), so what was refused or got lost on
the way is sent again for a while. What the cluster says no to becomes a `Denied` with a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from mlops_ci.errors import MissingDependency, ServiceError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

TIMEOUT_S = 30.0
_RETRIES = 5
_BACKOFF_S = 0.3
_AGAIN = (429, 502, 503, 504)


class Denied(ServiceError):
    """
    The cluster answered, and not with what was asked for.

    Attributes:
        status: That of HTTP.
        reason: Kubernetes' own word for it: "NotFound", "Conflict", "Forbidden".
        causes: Of a conflict or of an invalid object, field by field: `{"field": …, "message": …}`.
    """

    def __init__(self, message: str, *, status: int, reason: str, causes: list[dict[str, str]], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason
        self.causes = causes


class Kind(NamedTuple):
    """How the API calls a kind in its paths: "apps/v1", "deployments"."""

    api_version: str
    plural: str
    namespaced: bool


class Api:
    """The API of one cluster. *who* names it, and as whom we come, for messages: "context prod"."""

    def __init__(self, configuration: Configuration, who: str) -> None:
        from kubernetes.client import ApiClient  # noqa: PLC0415  # half a second that only a cluster has to cost
        from urllib3 import Retry  # noqa: PLC0415  # as above

        configuration.retries = Retry(
            total=_RETRIES,
            backoff_factor=_BACKOFF_S,
            backoff_jitter=_BACKOFF_S,
            status_forcelist=_AGAIN,
            allowed_methods=None,
            raise_on_status=False,
        )
        self._client: ApiClient = ApiClient(configuration)
        configuration.retries = False
        self._once: ApiClient = ApiClient(configuration)
        self._who = who
        self._kinds: dict[str, dict[str, Kind]] = {}

    def get(self, path: str, **query: str) -> Any:
        """GET *path* as JSON. Raises as `send`."""
        return json.loads(self.send("GET", path, query=query))

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        """
        Send a request, and return the body of the answer.

        Args:
            method: Of HTTP.
            path: "/api/v1/namespaces/…"; `path_of` and `quote` make one.
            body: JSON-like, or bytes that are sent as they are.
            query: What follows the "?".
            content_type: Of *body*.
            timeout_s: For one attempt.

        Raises:
            Denied: The cluster says no.
            ServiceError: Nobody answered.
        """
        status, data = self.answer(method, path, body, query=query, content_type=content_type, timeout_s=timeout_s)
        if status >= 400:
            raise self._denied(status, data)
        return data

    def answer(  # noqa: PLR0913  # what a request is made of, by name
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        again: bool = True,
    ) -> tuple[int, bytes]:
        """
        As `send`, for whoever wants to see the status, whatever it is.

        Args:
            method: As are *path*, *body*, *query*, *content_type* and *timeout_s*.
            path: As above.
            body: As above.
            query: As above.
            content_type: As above.
            headers: More of them.
            timeout_s: As above.
            again: Whether it may be sent again; not where the answer is that of a service behind the API.

        Raises:
            ServiceError: Nobody answered.
        """
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  # as in __init__
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # as in __init__

        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        client = self._client if again else self._once
        method, url, sent, *_ = client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type, **(headers or {})},
            auth_settings=["BearerToken"],
        )
        # The client writes JSON bodies itself, and would write bytes as text.
        plain = json.loads(data) if data is not None and content_type.endswith("json") else data
        try:
            response = client.call_api(method, url, sent, plain, _request_timeout=timeout_s)
            return int(response.status), bytes(response.read() or b"")
        except (ApiException, HTTPError, OSError) as error:
            said = " ".join(str(getattr(error, "reason", "") or error).split())
            raise ServiceError(
                f"the cluster ({self._who}) did not answer: {said}",
                hint="when it answers again, run the same command again: it finishes what was begun",
            ) from error

    def kind(self, api_version: str, name: str) -> Kind:
        """
        Ask how the API calls the kind *name*.

        Raises:
            Denied: The cluster has no such kind.
            ServiceError: Nobody answered.
        """
        if api_version not in self._kinds:
            root = "/api" if "/" not in api_version else "/apis"
            listed = self.get(f"{root}/{api_version}")["resources"]
            self._kinds[api_version] = {
                each["kind"]: Kind(api_version, each["name"], each["namespaced"])
                for each in listed
                if "/" not in each["name"]
            }
        if name not in self._kinds[api_version]:
            raise Denied(
                f"the cluster ({self._who}) has no {name} in {api_version}", status=404, reason="NotFound", causes=[]
            )
        return self._kinds[api_version][name]

    def _denied(self, status: int, data: bytes) -> Denied:
        try:
            said = json.loads(data)
        except ValueError:
            said = {}
        said = said if isinstance(said, dict) and said.get("kind") == "Status" else {}
        message = str(said.get("message") or data[:200].decode(errors="replace") or f"HTTP {status}")
        hint = "this is safe to run again"
        if status == 401:
            message, hint = "the credentials are not accepted", "renew them; `kubectl auth whoami` tries them"
        elif status == 403:
            hint = "the file setup/deployer.yaml that `mlops-ci render` writes holds the role that is needed"
        return Denied(
            f"the cluster ({self._who}) says no: {message}",
            status=status,
            reason=str(said.get("reason", "")),
            causes=list((said.get("details") or {}).get("causes") or []),
            hint=hint,
        )


def path_of(kind: Kind, namespace: str, name: str = "") -> str:
    """The path of the object *name*, or of all of its *kind* in *namespace*."""
    root = "/api" if "/" not in kind.api_version else "/apis"
    where = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    return f"{root}/{kind.api_version}{where}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def need_client() -> None:
    """Raise `MissingDependency` if Kubernetes' client is not installed."""
    from importlib.util import find_spec  # noqa: PLC0415  # only a cluster has to cost this

    if find_spec("kubernetes") is None:
        raise MissingDependency("kubernetes", "kubernetes")
