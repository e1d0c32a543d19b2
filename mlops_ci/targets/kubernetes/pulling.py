"""Why an image could not be pulled: what container runtimes and registries say, in a sentence. Pure."""

from __future__ import annotations

import re

from mlops_ci.targets.kubernetes.checks import NO_IMAGE

HOPELESS = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
"""Reasons for which it was given up, at least for a while."""

REASONS = (*HOPELESS, "ErrImagePull", "ImageInspectError", "RegistryUnavailable")

_ACCESS_HINT = (
    "give the namespace's service account an imagePullSecret for that registry, or the nodes the right to read it"
)
_REACH_HINT = "the nodes pull it, not this machine: look at their network, proxy and firewall"
# The first that fits: a registry that wants credentials often says "not found, or denied".
_CAUSES = (
    (
        r"toomanyrequests|429 Too Many",
        "the registry {registry} takes no more requests for now",
        "wait, or pull with an account",
    ),
    (
        r"no match for platform|exec format",
        "it is built for another processor than the node's",
        "build it with `serving.platform`",
    ),
    (
        r"\b401\b|\b403\b|unauthorized|denied|authori[sz]ation failed|authentication required|no basic auth",
        "the registry {registry} does not let the cluster read it",
        _ACCESS_HINT,
    ),
    (
        r"no such host|server misbehaving|name resolution",
        "nobody knows the name {registry}",
        "look for a typing error, or at the nodes' DNS",
    ),
    (
        r"x509|certificate|HTTP response to HTTPS client",
        "the nodes do not trust the registry {registry}",
        "let the nodes' container runtime know its certificate",
    ),
    (
        r"not ?found|manifest.unknown|name.unknown|\b404\b|does not exist",
        "the registry {registry} does not have it",
        "push it, or look for a typing error; a digest that was deleted has to be built again",
    ),
    (
        r"refused|timeout|timed out|dial tcp|no route|unreachable|deadline exceeded|reset by peer|\bEOF\b|\b50[0234]\b",
        "the registry {registry} does not answer",
        _REACH_HINT,
    ),
    (r"no space left", "the node's disk is full", "clear it, or let the pod go to another node"),
)


def explain(image: str, messages: list[str]) -> tuple[str, str]:
    """
    Return why *image* could not be pulled, and what can be done.

    Args:
        image: As the pod names it.
        messages: What was said about it, the latest last.
    """
    registry = _registry(image)
    if registry == NO_IMAGE:
        return "its image was never built", "run `mlops-ci build`, then deploy what it pushed"
    said = next((text for text in reversed(messages) if _telling(text)), "")
    if "invalid reference format" in said or "InvalidImageName" in said:
        return f"{image!r} is no name of an image", "look for a typing error"
    # The image's own name must not be taken for a cause.
    cause = said.replace(image, "")
    for pattern, sentence, hint in _CAUSES:
        if re.search(pattern, cause, re.IGNORECASE):
            return f"the image {image} cannot be pulled: {sentence.format(registry=registry)}", hint
    plain = " ".join(said.split())[-200:] or "the cluster does not say why"
    return f"the image {image} cannot be pulled: {plain}", "`kubectl describe pod` says more"


def _telling(text: str) -> bool:
    return bool(text) and not re.fullmatch(r'Back-off pulling image "[^"]*"|Error: \w+', text)


def _registry(image: str) -> str:
    """The host in an image's name; Docker's where there is none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"
