"""
What a change would make of the manifests of each target: both sides rendered for one release, and compared.

Templates that the change brings are rendered only where its code is checked out, and so has been run already. The job
that may write has none of it: there they are data, and their own differences are shown in place of what they would
render (docs/decisions/0022-manifest-changes.md).
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_ci.capture import secrets
from mlops_ci.config import Config
from mlops_ci.entities import ArtifactRef, ManifestChange, Model, ModelVersion
from mlops_ci.errors import MlopsCIError, NotFound
from mlops_ci.lifecycle import committed_templates
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.project import TEMPLATES, Project
from mlops_ci.lifecycle.render import open_target, release_of

_LIMIT_BYTES = 8_000
"""The most that is shown of one target: a reader's patience, and the room of a comment."""

_MOST_TARGETS = 20
_SAID = re.compile(r'(?P<head>[ +-]\s*(?:- )?"?(?P<name>[\w./-]+)"?: )(?P<value>.*)')


@dataclass(frozen=True)
class _Side:
    """One of the two: the project under its configuration, its templates, and how a sentence calls it."""

    project: Project
    templates: Path | None
    called: str


def changes(project: Project, base: Config, base_sha: str) -> tuple[list[ManifestChange], list[str]]:
    """
    Return what differs for each target between *base* and the checkout, and what could not be rendered, in sentences.

    Args:
        project: With the configuration of the change.
        base: That of the branch which it wants to enter.
        base_sha: Its commit, whose templates render *base*.
    """
    before, after = (committed_templates.digest_of(project.checkout, one) for one in (base_sha, "HEAD"))
    if before == after and not _matters(base, project.config):
        return [], []
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as name:
        theirs = committed_templates.write(project.checkout, base_sha, Path(name))
        here = project.templates()
        # Without a checkout there is no folder, whatever the change brings.
        known = before == after or not after or here is not None
        ours = theirs if before == after or not known else here
        sides = (
            _Side(project.ruled_by(base), theirs, "as they are"),
            _Side(project, ours, "as this change would have them"),
        )
        found, notes = _compared(*sides)
    if not known:
        found += _of_templates(project, base_sha)
        notes.append(
            "This change edits templates, which are not rendered in this job; the diff of their text is shown."
        )
    return found, notes


def _matters(base: Config, head: Config) -> bool:
    """Whether anything differs that manifests are made of."""
    return any(getattr(base, key) != getattr(head, key) for key in ("project", "model", "serving", "targets"))


def _compared(before: _Side, after: _Side) -> tuple[list[ManifestChange], list[str]]:
    found: list[ManifestChange] = []
    notes: list[str] = []
    names = dict.fromkeys([*before.project.config.targets, *after.project.config.targets])
    if len(names) > _MOST_TARGETS:
        notes.append(f"Of {len(names)} targets the manifests of the first {_MOST_TARGETS} are compared.")
    release = _version(before.project)
    for name in list(names)[:_MOST_TARGETS]:
        try:
            texts = [_rendered(side, name, *release) for side in (before, after)]
        except _CannotRender as error:
            notes.append(str(error))
            continue
        hunks = [hunk for path in sorted({*texts[0], *texts[1]}) for hunk in _hunks(path, *texts)]
        found += _change(name, hunks)
    return found, notes


class _CannotRender(Exception):
    pass


def _rendered(side: _Side, name: str, version: ModelVersion, record_id: str) -> dict[str, str]:
    """The files of a target; none where the side does not have it."""
    if name not in side.project.config.targets:
        return {}
    try:
        release = release_of(side.project, version, record_id, image=side.project.config.serving.image)
        return open_target(side.project.config, name).render(release, side.templates)
    except MlopsCIError as error:
        said = str(error).partition("\n")[0]
        raise _CannotRender(f"The manifests of {name} cannot be rendered {side.called}: {said}.") from error


def _version(project: Project) -> tuple[ModelVersion, str]:
    """The newest version, or one for show: what is deployed is the same on both sides, and does not differ."""
    try:
        version, record = find_version(project.ledger, project.config)
    except NotFound:
        return _sample(project.config.model), "0" * 64
    return version, record.id


def _sample(model: str) -> ModelVersion:
    digest = f"sha256:{'0' * 64}"
    file = ArtifactRef(path="model", digest=digest, size_bytes=0)
    return ModelVersion(
        model=model,
        version="1.0.0",
        tag=f"{model}@v1.0.0",
        sha="0" * 40,
        tree="0" * 40,
        run_id="0" * 16,
        run_record="0" * 64,
        artifact=Model(flavor="sklearn", digest=digest, size_bytes=0, files=[file]),
    )


def _hunks(path: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    old, new = (f"{side}/{path}" if path in files else "/dev/null" for side, files in (("a", before), ("b", after)))
    one, other = _lines(before.get(path, "")), _lines(after.get(path, ""))
    lines = list(difflib.unified_diff(one, other, old, new, lineterm=""))
    head, hunk = lines[:2], list[str]()
    for line in lines[2:]:
        if line.startswith("@@ ") and hunk:
            yield _text([*head, *hunk])
            head, hunk = [], []
        hunk.append(line)
    if hunk:
        yield _text([*head, *hunk])


def _of_templates(project: Project, base_sha: str) -> list[ManifestChange]:
    """How the templates themselves differ, as git tells it."""
    options = ["--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/"]
    place = f"{TEMPLATES.as_posix()}/targets"
    text = project.checkout.run(["diff", *options, base_sha, "HEAD", "--", place]).decode("utf-8", "replace")
    hunks: list[str] = []
    for part in re.split(r"^(?=diff --git )", text, flags=re.MULTILINE)[1:]:
        head, *found = re.split(r"^(?=@@ )", part, flags=re.MULTILINE)
        names = [line for line in _lines(head) if line.startswith(("--- ", "+++ "))] or _lines(head)
        hunks += [_text([*(names if not index else []), *_lines(hunk)]) for index, hunk in enumerate(found or [""])]
    return _change("", hunks)


def _lines(text: str) -> list[str]:
    """The lines of *text*; what else Python takes for the end of one could hide how a line begins."""
    return text.removesuffix("\n").split("\n") if text else []


def _change(target: str, hunks: list[str]) -> list[ManifestChange]:
    """As many whole *hunks* as there is room for."""
    if not hunks:
        return []
    size, kept = 0, list[str]()
    for hunk in hunks:
        size += len(hunk.encode("utf-8", "replace"))
        if size > _LIMIT_BYTES:
            break
        kept.append(hunk)
    return [ManifestChange(target=target, diff="".join(kept), left_out=len(hunks) - len(kept))]


def _text(lines: list[str]) -> str:
    return "".join(f"{_safe(line)}\n" for line in lines)


def _safe(line: str) -> str:
    """*line* without what looks like a secret, by the name that it says or by its shape."""
    said = _SAID.fullmatch(line)
    if said and secrets.redact({said["name"]: said["value"].strip('"')})[said["name"]] == secrets.REDACTED:
        return f"{said['head']}{secrets.REDACTED}"
    return secrets.redact_text(line)
