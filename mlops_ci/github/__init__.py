"""
GitHub's API: comments, checks, pull requests, people, rules and uploads of one repository.

The only room that knows PyGithub. What is said there is the business of `reports`, and when of `lifecycle`;
what the workflow's own files and variables tell is read by `ci`.
"""

from __future__ import annotations

from mlops_ci.github.client import GitHub, connect
from mlops_ci.github.permissions import PermissionMissing

__all__ = ["GitHub", "PermissionMissing", "connect"]
