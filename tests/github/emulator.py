"""
The stateful peer: npm's `emulate`, which keeps repositories, pull requests, issues, comments, check runs, releases and
teams of GitHub, and hands out tokens of Apps.

One is started by the first test of a process that asks for it (half a second), and ended with it. What it lacks or
tells otherwise than GitHub is mended in `gateway.py`, `mended.py` and `fake.py`.
"""

from __future__ import annotations

import functools
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github.messages import Reply

NODE = Path(sys.prefix) / "node"
PACKAGES = NODE / "node_modules"
BASE = "http://emulator.invalid"  # what it takes for its own address
ACTIONS = "github-actions[bot]"
APP = "octo-app[bot]"
ORGANISATION = "octo-org"
# Whoever writes in a test is one of them: the emulator cannot make people later.
PEOPLE = ("octocat", "octo-lead", "hubot", "monalisa", "defunkt", "mallory", ACTIONS, APP, "dependabot[bot]")
APP_ID, INSTALLATION = 4242, 77


class Emulator:
    """
    A process of its own; `stop` ends it.

    Attributes:
        app_key: The private key of the App `APP_ID`, as PEM; it is installed for octocat as `INSTALLATION`.
    """

    def __init__(self) -> None:
        self.app_key = _key()
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-emulator-"))
        (self.folder / "seed.json").write_text(json.dumps(_seed(self.app_key)), "utf-8")
        options = ["--seed", str(self.folder / "seed.json"), "--base-url", BASE]
        launcher = Path(__file__).with_suffix(".mjs")
        self._process = subprocess.Popen(
            ["node", str(launcher), str(PACKAGES), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        self.port = self._started()
        shutil.rmtree(self.folder)  # it has been read, and a test run that is killed leaves nothing
        self._idle: list[http.client.HTTPConnection] = []

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if self._process.stdout is None or self._process.stdout.closed:
            return
        for connection in self._idle:
            connection.close()
        self._process.kill()
        self._process.wait(timeout=60)
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def ask(self, method: str, path: str, body: Any = None, *, login: str = "octocat") -> Reply:
        """What it answers to *login*."""
        if login not in PEOPLE:
            raise LookupError(f"the emulator knows nobody called {login}; it knows {', '.join(PEOPLE)}")
        return self.send(method, path, None if body is None else json.dumps(body).encode(), f"Bearer {token_of(login)}")

    def send(self, method: str, path: str, data: bytes | None, authorization: str) -> Reply:
        """What it answers to whoever sends that header."""
        headers = {"authorization": authorization, "content-type": "application/json"}
        with self._connection() as connection:
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
            except (http.client.HTTPException, ConnectionError):  # it was idle, and was closed
                connection.close()
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
            content = answer.read()
        kind, link = answer.getheader("content-type") or "", answer.getheader("link")
        body = json.loads(content) if "json" in kind and content else (content or None)
        return Reply(answer.status, body, {"link": link} if link else {})

    def do(self, method: str, path: str, body: Any = None, *, login: str = "octocat") -> Any:
        """What it answers to a request that must be right."""
        reply = self.ask(method, path, body, login=login)
        assert reply.status < 300, (method, path, reply)
        return reply.body

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _started(self) -> int:
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            said.append(line.decode(errors="replace"))
            if found := re.search(r"port=(\d+)", said[-1]):
                self._reader = threading.Thread(target=self._process.stdout.read, daemon=True)
                self._reader.start()
                return int(found[1])
        raise AssertionError("".join(said) or f"node did not start; ./dev test installs what it takes in {NODE}")


@functools.cache
def running() -> Emulator:
    """The emulator of this process."""
    return Emulator()


def token_of(login: str) -> str:
    """What the emulator takes for *login*."""
    return "tok-" + quote(login, safe="").replace("%", "-")


def _seed(app_key: str) -> dict[str, Any]:
    permissions = {"pull_requests": "write", "checks": "write", "metadata": "read", "members": "read"}
    name = APP.removesuffix("[bot]")
    app = {"app_id": APP_ID, "slug": name, "name": name, "private_key": app_key, "permissions": permissions}
    return {
        "tokens": {token_of(login): {"login": login, "scopes": ["repo", "user", "admin:org"]} for login in PEOPLE},
        "github": {
            "users": [{"login": login, "name": login} for login in PEOPLE],
            "orgs": [{"login": ORGANISATION, "members": [{"login": "octocat", "role": "admin"}]}],
            "apps": [{**app, "installations": [{"installation_id": INSTALLATION, "account": "octocat"}]}],
        },
    }


def _key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return key.private_bytes(*form).decode()
