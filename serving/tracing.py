"""OpenTelemetry: one span for a request, sent where `OTEL_EXPORTER_OTLP_ENDPOINT` says; nothing unless asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from serving.manifest import Manifest, Refusal

Span = Callable[[str, dict[bytes, bytes]], AbstractContextManager[Any]]


def nothing(_path: str, _headers: dict[bytes, bytes]) -> AbstractContextManager[Any]:
    """Trace nothing."""
    return nullcontext()


def open_tracer(manifest: Manifest) -> Span:
    """What makes the span of a request, whose headers may continue a trace. Raises `Refusal` without the SDK."""
    if not manifest.settings.tracing:
        return nothing
    try:
        from opentelemetry import propagate, trace  # noqa: PLC0415  # only where it is asked for
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # as above
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # as above
    except ImportError as error:
        raise Refusal(f"tracing is asked for, and {error.name} is not installed") from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": manifest.model, "service.version": manifest.version})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = trace.get_tracer("serving", tracer_provider=provider)

    def span(path: str, headers: dict[bytes, bytes]) -> AbstractContextManager[Any]:
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        attributes = {"http.route": path, "model.version": manifest.version, "model.digest": manifest.digest}
        context = propagate.extract(carrier)
        return tracer.start_as_current_span(path, context=context, kind=trace.SpanKind.SERVER, attributes=attributes)

    return span
