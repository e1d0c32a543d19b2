"""Where `templates/` and `serving/` are: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

# Resolved, because `mlops-ci run` lends the package to training code through a link.
_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "_bundled"
_ROOT = _BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent

PACKAGE = _PACKAGE
TEMPLATES = _ROOT / "templates"
SERVING = _ROOT / "serving"
