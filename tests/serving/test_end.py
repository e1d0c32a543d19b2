"""How the service ends: no request that was sent to it is lost."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.integration.served_model import EXAMPLE
from tests.serving.services import HELD, Serve, Service
from tests.serving.traffic import Traffic
from tests.waiting import eventually

SLOW = "import time\n\ndef predict(records):\n    time.sleep(0.05)\n    return [1 for _ in records]\n"


@pytest.mark.parametrize("runtime", ["asgi", pytest.param("bentoml", marks=pytest.mark.full)])
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.full), 2])
def test_a_rollout_loses_no_request(serve: Serve, workers: int, runtime: str) -> None:
    """The old service is told to end while others send it requests; each gets its answer."""
    environment = {"MLOPS_DRAIN_S": "4"}  # longer than a caller takes from asking who is ready to asking it
    old, new = (serve(SLOW, workers=workers, runtime=runtime, environment=environment) for _ in range(2))
    with Traffic([old.port, new.port]) as traffic:
        traffic.wait_for(20)
        assert old.end() == 0
        traffic.wait_for(len(traffic.answers) + 20)
    assert traffic.faults == []
    assert set(traffic.answers) == {200}


def test_while_it_drains_it_says_so_and_answers(serve: Serve) -> None:
    service = serve(SLOW, environment={"MLOPS_DRAIN_S": "3"})
    assert _connection_header(service) is None
    service.process.send_signal(signal.SIGTERM)
    eventually(lambda: service.ask("/readyz").status == 503, within_s=2)
    assert service.ask("/readyz").body == b"draining\n"
    assert service.ask("/livez").status == 200
    assert service.predict("x").status == 200
    assert _connection_header(service) == "close"
    assert service.metric("mlops_ready") == 0
    assert service.process.wait(30) == 0


def test_a_request_that_is_being_answered_is_finished(serve: Serve, tmp_path: Path) -> None:
    service, gate = serve(HELD), tmp_path / "gate"
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(service.predict(str(gate)).status))
    caller.start()
    eventually(lambda: service.metric("mlops_in_flight") == 2)
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # most of the time in which it would end if it waited for nobody
    gate.touch()
    assert service.process.wait(60) == 0
    caller.join()
    assert answers == [200]


def test_a_second_signal_ends_it_at_once(serve: Serve) -> None:
    service = serve(SLOW, environment={"MLOPS_DRAIN_S": "3600"})
    service.process.send_signal(signal.SIGTERM)
    eventually(lambda: service.ask("/readyz").status != 200)
    assert service.end() == 0


def test_what_is_on_its_way_when_the_door_is_shut_is_answered(serve: Serve) -> None:
    """On a connection that is open: a server may close it at any moment, but not over a request."""
    service = serve(SLOW)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.request("GET", "/livez")
    connection.getresponse().read()
    service.process.send_signal(signal.SIGTERM)
    eventually(lambda: not _takes_connections(service.port), every_s=0.01)
    connection.request("POST", "/predict", b'{"records": ["x"]}')
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    connection.close()
    assert service.process.wait(30) == 0


def test_an_interrupt_from_the_keyboard_does_not_drain(serve: Serve) -> None:
    service = serve(SLOW, environment={"MLOPS_DRAIN_S": "3600"})
    assert service.end(signal.SIGINT) == 0


def test_killed_under_load_it_starts_again_from_the_same_folder(model: Path, serve: Serve) -> None:
    service = serve(model)
    body = b'{"columns": {"mean radius": [9.5], "mean texture": [12.0], "class": [0]}}'
    with Traffic([service.port], callers=2, body=body) as traffic:
        traffic.wait_for(20)
        service.end(signal.SIGKILL)
    again = Service(service.folder).wait()
    assert again.predict(*EXAMPLE).json["predictions"] == [1, 0]
    assert again.end() == 0


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _connection_header(service: Service) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    try:
        connection.request("POST", "/predict", b'{"records": ["x"]}')
        return connection.getresponse().getheader("connection")
    finally:
        connection.close()


LEAKS = """
import os
KEPT = []

def predict(records):
    KEPT.append(os.urandom(4_000_000))
    return [os.getpid() for _ in records]
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_leaks_is_replaced_and_no_request_is_lost(serve: Serve, workers: int) -> None:
    service = serve(LEAKS, workers=workers, settings={"max_memory_mb": 250})
    with Traffic([service.port], callers=3) as traffic:
        eventually(lambda: len(traffic.bodies) > workers + 1)  # so many processes have answered
    assert traffic.faults == []
    assert set(traffic.answers) == {200}
    assert "max_memory_mb" in service.log
    assert service.end() == 0
