"""Runs the application under uvicorn: one process, or several that share a port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from serving.manifest import Manifest, Refusal
from serving.protocol import Protocol
from serving.start import Application

_KEEP_ALIVE_S = 75  # longer than the 60 s of the usual load balancer, which must be the one that closes
_MARGIN_S = 5


def serve(manifest: Manifest, *, host: str, port: int, workers: int = 1) -> int:
    """Serve until told to end; the exit code of the process, 1 if it could not start."""
    os.environ["MLOPS_HOST"] = host  # for the gRPC server, in whichever process it is started
    config = uvicorn.Config(
        "serving.server:answer",
        host=host,
        port=port,
        workers=workers,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(manifest.settings.timeout_s) + _MARGIN_S,
        http=Protocol,
    )
    # uvicorn raises the signal again when it has ended well; that is no reason to die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with suppress(KeyboardInterrupt):
        if workers == 1 and not manifest.settings.max_memory_mb:
            server = uvicorn.Server(config)
            server.run()
            return 0 if server.started else 1
        return _serve_together(config, manifest.settings.grpc_port)
    return 0


def _serve_together(config: uvicorn.Config, grpc_port: int) -> int:
    """Several workers and their supervisor, who starts again what dies; but not what cannot start."""
    folder = tempfile.mkdtemp(prefix="metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        _claim(config.host, grpc_port)
        supervisor = _Supervisor(config, sockets=[config.bind_socket()])
        supervisor.run()
        return int(any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Supervisor(Multiprocess):
    def keep_subprocess_alive(self) -> None:
        """
        Replace workers that have ended.

        uvicorn's own asks each whether it lives, waits for the answer of one that is just ending, and kills one whose
        model holds Python's lock; whether a worker hangs is what /livez is for.
        """
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  # reads its environment

        for place, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.process.is_alive():
                continue
            process.join()
            mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            if process.exitcode == STARTUP_FAILURE:
                self.should_exit.set()
                return
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()


def _claim(host: str, port: int) -> None:
    """Workers share the port among themselves, and would share it with another service as well."""
    if port:
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:
            raise Refusal(f"the gRPC port {port} cannot be had: {error.strerror}") from error


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The application, as uvicorn finds it in every process."""
    await _application()(scope, receive, send)


@cache
def _application() -> Application:
    """The application of the rendered `service.py`, in front of BentoML's where there is one."""
    module = import_module("service")
    found: Application = module.app
    bento = getattr(module, "Service", None)
    return found if bento is None else found.around(bento.to_asgi())
