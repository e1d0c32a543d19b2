"""What an operator sees: metrics, logs, the sample of predictions, traces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops_ci.entities import Signature
from tests.integration.served_model import EXAMPLE
from tests.serving.services import ANY, Serve, Service
from tests.waiting import eventually

GOOD = EXAMPLE[0]
ECHO = "def predict(records):\n    return records\n"


def test_metrics_are_prometheus(typed: Service) -> None:
    typed.predict(*EXAMPLE)
    text = typed.ask("/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (model,) = families["mlops_model"].samples
    assert (model.labels["model"], model.labels["version"], model.value) == ("cancer", "1.0.0", 1)
    assert {"mlops_requests", "mlops_request_seconds", "mlops_model_seconds", "mlops_in_flight"} <= families.keys()
    assert "process_resident_memory_bytes" in families


def test_requests_are_counted_by_path_and_status(serve: Serve) -> None:
    service = serve(ECHO, signature=Signature(inputs={"type": "integer"}, outputs={"type": "integer"}))
    for body in ({"records": [1]}, {"records": [2, 3]}, {"records": ["x"]}):
        service.ask("/predict", body)
    service.ask("/wp-login.php")
    assert service.metric("mlops_requests_total", path="/predict", status="200") == 2
    assert service.metric("mlops_requests_total", path="/predict", status="400") == 1
    assert service.metric("mlops_requests_total", path="other", status="404") == 1
    assert service.metric("mlops_batch_rows_sum") == 3
    assert service.metric("mlops_rejected_total", reason="invalid") == 1


def test_fields_and_ranges_are_counted(model: Path, serve: Serve) -> None:
    service = serve(model)
    service.predict({**GOOD, "class": "x"})
    service.predict({**GOOD, "unknown": 1})
    assert service.metric("mlops_input_invalid_total", field="class") == 1
    text = service.ask("/metrics").body.decode()
    assert "unknown" not in text  # a caller cannot make series


@pytest.mark.parametrize(
    ("outputs", "answers", "metric", "labels", "value"),
    [
        ({"type": "string"}, ["spam", "ham", "spam"], "mlops_predictions_total", {"label": "spam"}, 2),
        ({"type": "integer"}, [1, 1, 0], "mlops_predictions_total", {"label": "1"}, 2),
        ({"type": "boolean"}, [True, False, False], "mlops_predictions_total", {"label": "False"}, 2),
        ({"type": "array"}, [[0.1, 0.9], [0.8, 0.2]], "mlops_predictions_total", {"label": "1"}, 1),
        ({"type": "number"}, [0.05, 0.95, 3.0], "mlops_prediction_value_bucket", {"le": "0.1"}, 1),
        ({"type": "number", "x-seen": [0, 100]}, [1.0, 50.0], "mlops_prediction_value_bucket", {"le": "5.0"}, 1),
    ],
)
def test_predictions_are_counted(serve: Serve, outputs, answers, metric, labels, value) -> None:
    service = serve(ECHO, signature=Signature(inputs={}, outputs=outputs))
    assert service.predict(*answers).status == 200
    assert service.metric(metric, **labels) == value


def test_labels_without_end_become_one(serve: Serve) -> None:
    """A model that answers with free text must not fill Prometheus."""
    service = serve(ECHO, signature=ANY)
    service.predict(*(f"text {number}" for number in range(250)))
    lines = [
        line for line in service.ask("/metrics").body.decode().splitlines() if line.startswith("mlops_predictions")
    ]
    assert len(lines) <= 101
    assert service.metric("mlops_predictions_total", label="other") == 150


def test_a_fault_is_logged_once_with_its_request(serve: Serve) -> None:
    """As JSON; what is well is not logged, unless that is asked for."""
    service = serve("def predict(records):\n    return [1 / record for record in records]\n")
    service.predict(1)
    service.predict(0, headers={"X-Request-ID": "abc"})
    logged = [line for line in service.lines if line["level"] == "error"]
    assert [line["message"] for line in logged] == ["the model failed", "answered"]
    assert "ZeroDivisionError" in logged[0]["traceback"]
    assert (logged[1]["request_id"], logged[1]["status"], logged[1]["version"]) == ("abc", 500, "1.0.0")


@pytest.mark.parametrize("runtime", ["asgi", "bentoml"])
def test_a_life_is_three_lines(model: Path, serve: Serve, runtime: str) -> None:
    service = serve(model, runtime=runtime)
    service.predict(GOOD)
    service.end()
    assert [line["message"] for line in service.lines] == ["cancer 1.0.0 is ready", "draining", "ended"]


def test_callers_mistakes_do_not_fill_the_log(typed: Service) -> None:
    before = len(typed.log)
    for _ in range(50):
        assert typed.predict({}).status == 400
    assert len(typed.log) == before


def test_every_request_is_logged_where_that_is_asked_for(serve: Serve) -> None:
    service = serve(ECHO, settings={"access_log": True})
    service.predict(1)
    answered = [line for line in service.lines if line["message"] == "answered"]
    assert [(line["path"], line["status"]) for line in answered] == [("/predict", 200)]
    assert answered[0]["ms"] > 0


def test_a_sample_of_the_predictions_is_written_down(serve: Serve, tmp_path: Path) -> None:
    """Without the fields that are to be left out; the file is whole when the service has ended."""
    path = tmp_path / "predictions.jsonl"
    options = {"rate": 1.0, "path": str(path), "leave_out": ["name"]}
    service = serve(ECHO, settings={"log_predictions": options}, signature=ANY)
    for number in range(20):
        service.predict({"name": "Ada", "age": number}, headers={"X-Request-ID": f"r{number}"})
    service.end()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["request_id"] for line in lines] == [f"r{number}" for number in range(20)]
    assert lines[3]["records"] == [{"age": 3}]
    assert (lines[3]["version"], lines[3]["predictions"]) == ("1.0.0", [{"name": "Ada", "age": 3}])


@pytest.mark.parametrize("path", ["/nowhere/predictions.jsonl", "/dev/full"])
def test_a_log_that_cannot_be_written_breaks_no_request(serve: Serve, path: str) -> None:
    service = serve(ECHO, settings={"log_predictions": {"rate": 1.0, "path": path}}, signature=ANY)
    for _ in range(5):
        assert service.predict(1).status == 200
    for _ in range(100):
        if service.metric("mlops_prediction_log_dropped_total") == 5:
            return
    raise AssertionError(service.log)


def test_what_the_log_has_no_room_for_is_dropped(serve: Serve, tmp_path: Path) -> None:
    """A reader who does not read holds nobody up."""
    pipe = tmp_path / "pipe"
    subprocess.run(["mkfifo", pipe], check=True)
    reader = os.open(pipe, os.O_RDWR)
    try:
        service = serve(ECHO, settings={"log_predictions": {"rate": 1.0, "path": str(pipe)}}, signature=ANY)
        for _ in range(1200):
            assert service.predict("x" * 1000).status == 200
        assert service.metric("mlops_prediction_log_dropped_total") > 0
        service.end(9)
    finally:
        os.close(reader)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OpenTelemetry collector that keeps what it is sent."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_traces_go_to_the_collector(serve: Serve, collector: tuple[str, list[bytes]]) -> None:
    """And continue the caller's."""
    url, got = collector
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    service = serve(ECHO, settings={"tracing": True}, signature=ANY, environment=environment)
    trace = "0af7651916cd43dd8448eb211c80319c"
    service.predict(1, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    eventually(lambda: b"/predict" in b"".join(got), within_s=10)
    assert bytes.fromhex(trace) in b"".join(got)


def test_what_is_not_asked_for_is_not_imported(model: Path, serve: Serve) -> None:
    service = serve(model)
    script = "import sys, service; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=service.folder, capture_output=True, text=True, check=True
    )
    heavy = {"bentoml", "grpc", "numpy", "opentelemetry", "pandas", "prometheus_client", "pyarrow", "sklearn"}
    assert not heavy & set(done.stdout.split())
