"""The service described: OpenAPI for programs, one page for people."""

from __future__ import annotations

import html
import json
from typing import Any

from pydantic import TypeAdapter

from serving.manifest import Example, Manifest
from serving.schema import Schema

_REFS = "#/components/schemas/{model}"


def openapi(manifest: Manifest, schema: Schema, example: Example) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the service; record and request have the model's input example."""
    schemas: dict[str, Any] = {}
    request = _schema_of(schema.request, schemas)
    record = _schema_of(schema.one, schemas)
    prediction = _schema_of(TypeAdapter(schema.prediction), schemas)
    if example.records:
        properties = schemas.get("Request", request).get("properties", {})
        properties.get("records", {})["examples"] = [example.records]
    named = {name: {"type": "string", "examples": [manifest.content[name]]} for name in ("model", "version", "digest")}
    schemas["Predictions"] = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": prediction}, **named},
        "required": ["predictions", *named],
    }
    schemas["Error"] = {
        "type": "object",
        "properties": {
            "error": {"type": "string"},
            "detail": {"type": "array", "items": {"type": "object", "properties": {"loc": {"type": "array"}}}},
            "request_id": {"type": "string"},
            **named,
        },
    }
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": manifest.model, "version": manifest.version, "description": _about(manifest)},
        "paths": {
            "/predict": {"post": _operation("Predict", "predict", request, {"$ref": _ref("Predictions")})},
            "/api/Prediction": {
                "post": _operation(
                    "Predict for one record, as MLOps.NET's services do", "predictOne", record, {"type": "object"}
                )
            },
            "/metadata": {"get": _get("What is served: the version's manifest", "metadata")},
            "/livez": {"get": _get("Whether the process works", "live")},
            "/readyz": {"get": _get("Whether requests are welcome", "ready")},
            "/metrics": {"get": _get("Prometheus metrics", "metrics")},
        },
        "components": {"schemas": schemas},
    }
    if manifest.settings.api_keys:
        described["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        described["security"] = [{"key": []}]
    return described


def page(manifest: Manifest, example: Example) -> bytes:
    """What a browser shows at `/`."""
    records = json.dumps({"records": example.records[:1]}, indent=1, ensure_ascii=False)
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(manifest.content.get(name, '')))}</td></tr>"
        for name in ("version", "digest", "sha", "flavor")
    )
    links = " · ".join(f'<a href="{path}">{path}</a>' for path in ("/metadata", "/openapi.json", "/metrics"))
    title = html.escape(manifest.title)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1f2328 }}
th {{ text-align: left; padding-right: 1.5rem; font-weight: 600 }}
td, pre {{ font-family: ui-monospace, monospace; font-size: 14px }}
td {{ overflow-wrap: anywhere }} pre {{ background: #f6f8fa; padding: 1rem; border-radius: 6px; overflow: auto }}
</style></head><body>
<h1>{html.escape(manifest.model)}</h1>
<table>{rows}</table>
<h2>Ask it</h2>
<pre>POST /predict
Content-Type: application/json

{html.escape(records)}</pre>
<p>{links}</p>
</body></html>
""".encode()


def _schema_of(adapter: TypeAdapter[Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found = adapter.json_schema(ref_template=_REFS)
    schemas.update(found.pop("$defs", {}))
    if found.get("title") in {"Record", "Request"}:
        schemas[found["title"]] = found
        return {"$ref": _ref(found["title"])}
    return found


def _ref(name: str) -> str:
    return _REFS.format(model=name)


def _about(manifest: Manifest) -> str:
    return f"{manifest.title}, {manifest.digest}, of commit {manifest.content.get('sha', '')}"


def _operation(summary: str, name: str, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    wrong = {"description": "An error", "content": {"application/json": {"schema": {"$ref": _ref("Error")}}}}
    return {
        "summary": summary,
        "operationId": name,
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": "Predictions", "content": {"application/json": {"schema": answer}}},
            **{str(status): wrong for status in (400, 401, 408, 413, 415, 500, 503, 504)},
        },
    }


def _get(summary: str, name: str) -> dict[str, Any]:
    return {"summary": summary, "operationId": name, "responses": {"200": {"description": "OK"}}}
