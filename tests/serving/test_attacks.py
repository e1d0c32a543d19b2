"""What somebody who means harm may try; each once went through."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_ci.entities import Signature
from tests.integration.served_model import EXAMPLE, free_port
from tests.serving.services import ANY, HELD, Serve, Service, python_model, rendered
from tests.waiting import eventually

ECHO = "def predict(records):\n    return records\n"


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /predict HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


def peak_mb(service: Service) -> int:
    """The most memory that the service ever held."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1000


def test_numbers_that_are_listed_are_the_only_ones(serve: Serve) -> None:
    inputs = {
        "type": "object",
        "properties": {
            "size": {"type": ["number", "null"], "enum": [10.5, 12, None]},
            "count": {"type": "integer", "multipleOf": 5, "maximum": 20.5},
            "any": True,
            "tags": {"type": "array", "items": [{"type": "string"}]},
        },
        "required": ["size", "count"],
    }
    service = serve(ECHO, signature=Signature(inputs=inputs, outputs={}))
    good = {"size": 10.5, "count": 20}
    for record in (good, {**good, "size": None}, {**good, "any": [1], "tags": ["x", 1]}):
        assert service.predict(record).json["predictions"] == [record]
    for field, value in (("size", 11.5), ("size", "10.5"), ("size", True), ("count", 7), ("count", 25)):
        answer = service.predict({**good, field: value})
        assert (answer.status, answer.json["detail"][0]["loc"][:3]) == (400, ["records", 0, field])


def link_folder(model: Path, elsewhere: Path) -> None:
    (model / "extra").symlink_to(elsewhere)


def link_file(model: Path, elsewhere: Path) -> None:
    (model / "extra.py").symlink_to(elsewhere / "extra.py")


def empty_folder(model: Path, elsewhere: Path) -> None:
    del elsewhere
    (model / "extra").mkdir()


def broken_link(model: Path, elsewhere: Path) -> None:
    (model / "extra").symlink_to(elsewhere / "nothing")


@pytest.mark.parametrize("change", [link_folder, link_file, empty_folder, broken_link])
def test_nothing_beside_the_model_is_overlooked(
    model: Path, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    """Code in a linked folder was importable, and nobody had registered it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "extra.py").write_text("")
    folder = rendered(tmp_path / "bundle", model)
    change(folder / "model", elsewhere)
    service = Service(folder)
    assert service.process.wait(60) == 1
    assert service.log.startswith("this service does not start: model/extra")


@pytest.mark.parametrize("raised", ["asyncio.CancelledError", "KeyboardInterrupt", "GeneratorExit"])
def test_no_exception_ends_the_thread_of_the_model(serve: Serve, raised: str) -> None:
    source = (
        f"import asyncio\n\ndef predict(records):\n    if records == [0]:\n        raise {raised}\n    return records\n"
    )
    service = serve(source, timeout_s=2.0)
    assert service.predict(0).status in {500, 504}
    assert service.predict(1).json["predictions"] == [1]


@pytest.mark.full
def test_a_log_that_nobody_reads_does_not_keep_the_service_alive(serve: Serve, tmp_path: Path) -> None:
    """Nor does it keep whole batches in memory."""
    pipe = tmp_path / "pipe"
    subprocess.run(["mkfifo", pipe], check=True)
    reader = os.open(pipe, os.O_RDWR)
    try:
        options = {"rate": 1.0, "path": str(pipe)}
        service = serve(ECHO, settings={"log_predictions": options}, signature=ANY, timeout_s=30)
        before = peak_mb(service)
        body = {"records": [f"{number:0100}" for number in range(10_000)]}
        for _ in range(100):
            assert service.ask("/predict", body).status == 200
        assert peak_mb(service) - before < 150
        assert service.end(timeout=30) == 0
    finally:
        os.close(reader)


def test_a_request_that_is_wrong_everywhere_costs_little(serve: Serve) -> None:
    """Errors are for people: after some they help nobody, and a million of them took gigabytes."""
    inputs = {"type": "object", "properties": {"a": {"type": "number"}}}
    service = serve(ECHO, signature=Signature(inputs=inputs, outputs={}))
    assert service.predict({"a": 1.0}).status == 200
    before = peak_mb(service)
    records = [{"a": "x", "b": 1}] * 9000
    unknown = {f"k{number}": number for number in range(300_000)}
    for body in ({"records": records}, {"records": [unknown]}, {"columns": {"a": ["x"] * 9000}}, unknown):
        assert service.ask("/predict", body).status == 400
    assert service.ask("/v2/models/cancer/infer", {"inputs": [1] * 500_000}).status == 400
    assert peak_mb(service) - before < 400


def test_who_asks_and_leaves_makes_room_for_others(serve: Serve, tmp_path: Path) -> None:
    service, gate = serve(HELD, settings={"max_waiting": 5}, timeout_s=60), tmp_path / "gate"
    connections = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(6)]
    for connection in connections:
        connection.sendall(post(json.dumps({"records": [str(gate)]}).encode()))
    eventually(lambda: service.metric("mlops_waiting") == 5)
    assert service.predict("/").status == 503
    for connection in connections:
        connection.close()
    eventually(lambda: not service.metric("mlops_waiting"))
    gate.touch()
    assert service.predict("/").status == 200
    assert service.metric("mlops_batch_rows_count") == 2  # nobody else was still waiting


@pytest.mark.full
def test_a_model_that_holds_the_lock_is_not_taken_for_dead(serve: Serve) -> None:
    """With several workers, the supervisor asks each whether it lives; no thread of such a one can answer."""
    source = "import ctypes\n\ndef predict(records):\n    ctypes.PyDLL(None).sleep(7)\n    return records\n"
    service = serve(source, workers=2, timeout_s=20.0)
    assert service.predict(1).json["predictions"] == [1]


@pytest.mark.full
def test_a_dead_worker_is_counted_no_longer(model: Path, serve: Serve) -> None:
    service = serve(model, workers=2)
    eventually(lambda: service.log.count(" is ready") == 2)
    assert service.metric("mlops_ready") == 2
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    eventually(lambda: service.log.count(" is ready") == 3, within_s=30)
    assert service.metric("mlops_ready") == 2


def test_a_grpc_port_is_not_shared_with_another_service(model: Path, serve: Serve, tmp_path: Path) -> None:
    settings = {"grpc_port": free_port()}
    serve(model, workers=2, settings=settings)
    second = Service(rendered(tmp_path / "second", model, workers=2, settings=settings))
    assert second.process.wait(60) == 1
    assert f"the gRPC port {settings['grpc_port']} cannot be had" in second.log


@pytest.mark.full
def test_who_says_nothing_is_hung_up_on(serve: Serve) -> None:
    """Before the headers are there; nobody else notices."""
    service = serve(ECHO)
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as silent,
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as half,
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as second,
    ):
        half.sendall(b"POST /predict HTTP/1.1\r\nHost:")
        second.sendall(post(b'{"records": [1]}'))
        assert b" 200 " in second.recv(1000)
        second.sendall(b"GET /livez HTTP/1.1\r\n")
        assert [each.recv(100) for each in (silent, half)] == [b"", b""]
        while second.recv(1000):
            pass
    assert service.predict(1).status == 200


def test_a_trace_that_is_no_text_is_answered(serve: Serve) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}
    service = serve(ECHO, settings={"tracing": True}, signature=ANY, environment=environment)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(post(b'{"records": [1]}', b"traceparent: \xff"))
        assert b" 200 " in connection.recv(1000)


@pytest.mark.parametrize("runtime", ["asgi", "bentoml"])
def test_no_path_gets_past_the_keys(model: Path, serve: Serve, runtime: str) -> None:
    """Not those of BentoML either, which tell the signature."""
    key = "0123456789abcdef"
    service = serve(model, runtime=runtime, settings={"api_keys": True}, environment={"MLOPS_API_KEYS": key})
    for path in ("/schema.json", "//predict", "/predict/", "/%2fpredict", "/nothing", "/docs.json", "/", "/v2"):
        assert service.ask(path).status == 401
    assert service.ask("/schema.json", headers={"X-API-Key": key}).status == (404 if runtime == "asgi" else 200)
    assert service.predict(*EXAMPLE, headers={"X-API-Key": key}).status == 200


def test_a_signature_that_cannot_be_checked_is_one_sentence(tmp_path: Path) -> None:
    inputs = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}
    folder = python_model(tmp_path / "model", ECHO)
    signature = Signature(inputs=inputs, outputs={})
    service = Service(rendered(tmp_path / "bundle", folder, flavor="python", signature=signature))
    assert service.process.wait(60) == 1
    assert service.log.splitlines()[-1].startswith("this service does not start: the signature cannot be checked") or (
        "this service does not start: the signature cannot be checked" in service.log
    )


def test_answers_that_are_not_numbers_do_not_hide_the_others(serve: Serve) -> None:
    """NaN is no key: each of them took a place among the labels."""
    service = serve("import math\n\ndef predict(records):\n    return [math.nan if r == 0 else r for r in records]\n")
    for _ in range(3):
        service.predict(*[0] * 60)
    service.predict("churn")
    assert service.metric("mlops_predictions_total", label="churn") == 1


def test_gzip_of_several_members_is_read_whole(typed: Service) -> None:
    import gzip  # noqa: PLC0415  # here alone

    body = json.dumps({"records": [EXAMPLE[0]]}).encode()
    packed = gzip.compress(body[:20]) + gzip.compress(body[20:])
    assert typed.ask("/predict", packed, headers={"Content-Encoding": "gzip"}).json["predictions"] == [1]
    junk: Any = typed.ask("/predict", gzip.compress(body) + b"junk", headers={"Content-Encoding": "gzip"})
    assert junk.status == 400
