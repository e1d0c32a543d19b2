"""Callers and models that misbehave: what each gets is one answer, and nobody else notices."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mlops_ci.entities import Signature
from tests.integration.served_model import EXAMPLE
from tests.serving.services import ANY, Serve, Service
from tests.waiting import eventually

GOOD = EXAMPLE[0]
ONE = json.dumps({"records": [GOOD]}).encode()

ECHO = "def predict(records):\n    return [len(str(record)) for record in records]\n"
SLOW = """
import time

def predict(records):
    for record in records:
        time.sleep(record["s"] if isinstance(record, dict) else 0)
    return [1 for _ in records]
"""
FAULTY = """
import math

def predict(records):
    said = {"raise": lambda: 1 / 0, "value": lambda: int("x"), "nan": lambda: math.nan, "set": lambda: {1},
            "inf": lambda: {"a": [-math.inf]}, "exit": lambda: exit(), "none": lambda: None, "good": lambda: 1}
    if "short" in records:
        return []
    return [said[record]() for record in records]
"""


def test_a_body_that_is_too_large_is_not_read(serve: Serve) -> None:
    """By what it announces, or by what it turns out to be."""
    service = serve(ECHO)
    said = service.ask("/predict", b'{"records": ["' + b"x" * 40_000_000 + b'"]}')
    assert said.status == 413
    assert "at most 32,000,000 bytes" in said.json["error"]
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        answer = b""
        try:
            for _ in range(100):
                connection.sendall(chunk)
        except OSError:
            pass
        else:
            answer = connection.recv(100)
        assert not answer or b" 413 " in answer
    assert service.predict("a").status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies_are_read(typed: Service, encoding: str) -> None:
    body = gzip.compress(ONE) if encoding == "gzip" else zlib.compress(ONE)
    answer = typed.ask("/predict", body, headers={"Content-Encoding": encoding})
    assert answer.json["predictions"] == [1]


@pytest.mark.parametrize(
    ("body", "encoding", "status", "says"),
    [
        (gzip.compress(b" " * 200_000_000, 9), "gzip", 413, "at most"),
        (b"no gzip", "gzip", 400, "is not gzip"),
        (gzip.compress(ONE)[:-12], "gzip", 400, "ends too early"),
        (ONE, "br", 415, "is not known: use gzip"),
        (ONE, "identity", 200, ""),
    ],
    ids=["bomb", "not gzip", "cut", "unknown", "none"],
)
def test_bombs_and_broken_compression(typed: Service, body: bytes, encoding: str, status: int, says: str) -> None:
    answer = typed.ask("/predict", body, headers={"Content-Encoding": encoding})
    assert answer.status == status
    assert says in answer.json.get("error", "")


def test_too_many_rows_are_refused_in_every_form(typed: Service) -> None:
    rows = 100_000
    asked: list[Any] = [{"records": [GOOD] * rows}, {"columns": {name: [value] * rows for name, value in GOOD.items()}}]
    for body in asked:
        answer = typed.ask("/predict", body)
        assert answer.status in {400, 413}
        assert "10000" in answer.json["error"]


def test_a_slow_client_holds_nobody_up(serve: Serve) -> None:
    """Its body has to arrive within the time-out of the service; others are answered meanwhile."""
    service = serve(ECHO, timeout_s=1.0)
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert service.predict("abc").json["predictions"] == [3]
        answer = slow.recv(10_000)
        assert b" 408 " in answer.splitlines()[0]
        assert b"did not arrive within 1 s" in answer + slow.recv(10_000)


def test_who_goes_away_in_the_middle_is_not_missed(serve: Serve) -> None:
    service = serve(SLOW)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            body = b'{"records": [{"s": 0.2}]}'
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert service.predict({"s": 0}).status == 200
    assert "Traceback" not in service.log
    assert service.metric("mlops_in_flight") == 1  # the one that asks


@pytest.mark.parametrize(
    ("record", "status", "says"),
    [
        ("raise", 500, "the model failed: ZeroDivisionError"),
        ("value", 400, "invalid literal for int"),
        ("nan", 500, "answered record 1 with a number that is not finite"),
        ("inf", 500, "answered record 1 with a number that is not finite"),
        ("set", 500, "cannot be written as JSON"),
        ("exit", 500, "the model failed: SystemExit"),
        ("short", 400, "must answer 2 records with a list as long"),
    ],
)
def test_a_model_that_fails_is_an_answer(serve: Serve, record: str, status: int, says: str) -> None:
    service = serve(FAULTY)
    answer = service.predict("good", record)
    assert answer.status == status
    assert says in answer.json["error"]
    assert answer.json["request_id"]
    assert service.predict("good", "none").json["predictions"] == [1, None]
    assert service.ask("/readyz").status == 200


def test_null_is_an_answer_where_the_signature_has_it(serve: Serve) -> None:
    service = serve(FAULTY, signature=Signature(inputs={"type": "string"}, outputs={"type": ["number", "null"]}))
    assert service.predict("nan").json["predictions"] == [None]


def test_a_model_that_takes_long_is_given_up(serve: Serve) -> None:
    """And /livez answers all the time; what waited behind it is answered when it has come back."""
    service = serve(SLOW, timeout_s=1.0)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(service.predict, {"s": 2})
        time.sleep(0.3)
        waited = pool.submit(service.predict, {"s": 0})
        assert service.ask("/livez").status == 200
        assert slow.result().status == 504
        assert "no prediction within 1 s" in slow.result().json["error"]
        assert waited.result().status == 504
    while service.predict({"s": 0}).status != 200:
        assert service.process.poll() is None
    assert service.metric("mlops_batch_rows_count") == 2  # nobody was waiting for the one between


def test_too_many_that_wait_are_turned_away(serve: Serve) -> None:
    """At once, and told when to come again; nobody who was let in is lost."""
    service = serve(SLOW, settings={"max_waiting": 3}, timeout_s=20)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: service.predict({"s": 0.5}), range(12)))
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 4
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.headers["retry-after"] == "1"
    assert service.metric("mlops_rejected_total", reason="overloaded") == statuses.count(503)


def test_one_bad_record_does_not_spoil_the_batch_of_others(serve: Serve) -> None:
    """What waits together is asked together; if that fails, each is asked alone."""
    source = FAULTY.replace("def predict(records):", "import time\n\ndef predict(records):\n    time.sleep(0.3)")
    service = serve(source, settings={"batch_rows": 16}, timeout_s=30)
    asked = ["good", "good", "raise", "good", "value", "good"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(service.predict, asked))
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 400, 200]
    assert any(line["message"].startswith("a batch of ") for line in service.lines)


def test_what_waits_together_is_asked_together(serve: Serve) -> None:
    source = """
import time

def predict(records):
    time.sleep(0.2)
    return [[record, len(records)] for record in records]
"""
    service = serve(source, settings={"batch_rows": 4}, timeout_s=30, signature=ANY)
    with ThreadPoolExecutor(9) as pool:
        answers = [answer.json["predictions"][0] for answer in pool.map(service.predict, range(9))]
    assert [record for record, _ in answers] == list(range(9))
    assert max(size for _, size in answers) in {2, 3, 4}
    assert max(size for _, size in answers) <= 4


@pytest.mark.full
def test_a_hung_model_is_seen_by_the_cluster(serve: Serve) -> None:
    """/livez fails, so that the pod is started again; /predict says why it does not answer."""
    service = serve("import time\n\ndef predict(records):\n    time.sleep(3600)\n", timeout_s=0.2)
    assert service.predict("x").status == 504
    eventually(lambda: service.ask("/livez").status == 503, within_s=40)
    assert service.ask("/livez").body == b"the model does not come back\n"


def test_junk_on_the_line_ends_that_connection_only(typed: Service) -> None:
    for junk in (
        b"\0\1\2\3\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", typed.port), timeout=10) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
    assert typed.predict(GOOD).status == 200


def test_one_connection_serves_many_requests(typed: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", typed.port, timeout=20)
    for body, status in ((ONE, 200), (b"{", 400), (ONE, 200)):
        connection.request("POST", "/predict", body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
