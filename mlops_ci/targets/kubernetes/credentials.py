"""
With which credentials a cluster is reached: a kubeconfig by its path, by its content or as base64 of that; else the
pod's own service account.

Nothing of it is written anywhere, and no message quotes it.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_ci.errors import UsageError
from mlops_ci.targets.kubernetes.api import Api, need_client

_LONGEST_PATH = 1000  # a longer text is no path, and to look for it would be an error that quotes it
_HOW = "its value is a kubeconfig: a path, the file's content, or that as base64"


def connect(variable: str, context: str, env: Mapping[str, str] | None = None) -> Api:
    """
    Connect to the cluster; no request is made.

    Args:
        variable: The environment variable with the kubeconfig; KUBECONFIG may name several files, as kubectl has it.
        context: Of the kubeconfig; "" is its current one.
        env: Instead of the environment of this process.

    Raises:
        MissingDependency: The client is not installed.
        UsageError: There are no credentials, or they cannot be read.
    """
    need_client()
    found = os.environ if env is None else env
    value = found.get(variable, "").strip()
    if not value and variable != "KUBECONFIG":
        raise UsageError(f"the environment variable {variable} with the cluster's credentials is not set", hint=_HOW)
    if not value and not _home_file(found).is_file():
        return _of_the_pod(found)
    config = _given(value or str(_home_file(found)), variable)
    return _loaded(config, context, variable)


def _given(value: str, variable: str) -> Any:
    """A kubeconfig as a mapping, or the paths of some as text, which the client merges as kubectl does."""
    paths = [Path(part).expanduser() for part in value.split(os.pathsep) if part] if len(value) < _LONGEST_PATH else []
    if "\n" not in value and paths and all(path.is_file() for path in paths):
        return os.pathsep.join(map(str, paths))
    text = value
    if "apiVersion" not in value:
        try:
            text = base64.b64decode("".join(value.split()), validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        config = None
    if not isinstance(config, dict) or "clusters" not in config:
        what = f"names the file {value}, which is not there" if _is_path(value) else "holds no kubeconfig"
        raise UsageError(f"the environment variable {variable} {what}", hint=_HOW)
    return config


def _loaded(config: Any, context: str, variable: str) -> Api:
    from kubernetes import client  # noqa: PLC0415  # half a second that only a cluster has to cost
    from kubernetes import config as loader  # noqa: PLC0415  # as above

    configuration = client.Configuration()
    try:
        if isinstance(config, str):
            loader.load_kube_config(config, context=context or None, client_configuration=configuration)
        else:
            loader.load_kube_config_from_dict(config, context=context or None, client_configuration=configuration)
    except (loader.ConfigException, OSError, TypeError, ValueError, KeyError, AttributeError) as error:
        # The client's own words name keys and contexts; a value it does not quote.
        said = " ".join(str(error).split()) if isinstance(error, loader.ConfigException) else "it is not complete"
        raise UsageError(f"the kubeconfig of {variable} cannot be used: {said}", hint=_HOW) from error
    return Api(configuration, f"{f'context {context}' if context else variable} at {configuration.host}")


def _of_the_pod(env: Mapping[str, str]) -> Api:
    if not env.get("KUBERNETES_SERVICE_HOST"):
        raise UsageError("there are no credentials for the cluster", hint=f"set KUBECONFIG; {_HOW}")
    from kubernetes import client  # noqa: PLC0415  # as in `_loaded`
    from kubernetes import config as loader  # noqa: PLC0415  # as in `_loaded`

    configuration = client.Configuration()
    try:
        loader.load_incluster_config(client_configuration=configuration)
    except loader.ConfigException as error:
        raise UsageError(f"this pod has no service account: {error}", hint=f"set KUBECONFIG; {_HOW}") from error
    return Api(configuration, "the pod's service account")


def _home_file(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home(), ".kube", "config")


def _is_path(value: str) -> bool:
    return (
        "\n" not in value
        and len(value) < 500
        and (value.startswith(("/", "~", ".")) or value.endswith((".yaml", ".yml")))
    )
