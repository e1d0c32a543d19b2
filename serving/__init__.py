"""
The service: what every model's service does alike, copied verbatim beside the rendered `service.py`.

`python -m serving` runs it. It knows nothing of the tool that put it there: what varies by model is in
`service.py` (the types of its signature) and `manifest.json` (what it is, and the settings of the service);
what varies by framework, in `flavors/`.
"""

from __future__ import annotations

from serving.kinds import Boolean, Integer, Number, OneOf, Text
from serving.schema import Schema
from serving.start import Application, application

__all__ = ["Application", "Boolean", "Integer", "Number", "OneOf", "Schema", "Text", "application"]
