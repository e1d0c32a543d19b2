"""
How a build reaches its package index: certificates, address, password. They are secrets of the build.

They are taken from where uv and pip find them here, and handed over in memory where the system can do that, so that
a build which is killed leaves no password behind.
"""

from __future__ import annotations

import netrc
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import msgspec

from mlops_ci.errors import ConfigError
from mlops_ci.images import program

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """
    How packages are fetched.

    *ca* is a file with certificates to trust, None for those that the base image brings; *index* a URL, perhaps with
    a password, "" for PyPI; *netrc* the lines of a netrc file about that index's host.
    """

    ca: Path | None = None
    index: str = ""
    netrc: str = ""

    @property
    def hidden(self) -> list[str]:
        """What nobody may read in a log: the password, or the name alone that is one, in every way of writing it."""
        parts = urlsplit(self.index)
        said = [parts.password or parts.username or "", *re.findall(r"^password (.+)$", self.netrc, re.MULTILINE)]
        plain = [*said, *map(unquote, said)]
        return sorted({form for word in plain if word for form in (word, quote(word, safe=""))}, key=len)[::-1]

    @property
    def environment(self) -> dict[str, str]:
        """What lets uv on this machine fetch as the build will."""
        found = {"UV_DEFAULT_INDEX": self.index} if self.index else {}
        return found | ({"SSL_CERT_FILE": str(self.ca)} if self.ca else {})


def find(env: Mapping[str, str], ca: Path | None = None) -> Access:
    """
    Look in *env*, then in pip's configuration; *ca* is $SSL_CERT_FILE unless given.

    Raises:
        ConfigError: The file with certificates is not there, or the index is no address that a build can reach.
    """
    named = ca or (Path(env["SSL_CERT_FILE"]) if env.get("SSL_CERT_FILE") else None)
    if named and not named.is_file():
        raise ConfigError(f"there is no file {named} with certificates", hint="`--ca FILE`, or SSL_CERT_FILE, names it")
    index = next((env[name] for name in _INDEX_VARIABLES if env.get(name)), "") or _index_of_pip()
    index = index.rpartition("=")[2] if re.match(r"[\w.-]+=", index) else index
    if index and urlsplit(index).scheme not in {"http", "https"}:
        raise ConfigError(
            "the package index is a folder of this machine, which a build cannot reach",
            hint=f"set {_INDEX_VARIABLES[0]} to an https:// address",
        )
    return Access(ca=named.resolve() if named else None, index=index, netrc=_netrc_of(index, env))


@contextmanager
def secrets(access: Access) -> Iterator[dict[str, Path]]:
    """The secrets of a build by the ids that the recipe mounts them by, as files that are gone afterwards."""
    texts = {"netrc": access.netrc}
    if access.index:
        texts["uv"] = f'[[index]]\nurl = "{access.index}"\ndefault = true\n'
        # Who names an address without TLS means it, and pip wants to be told twice.
        trusted = f"trusted-host = {urlsplit(access.index).hostname}\n" if access.index.startswith("http:") else ""
        texts["pip"] = f"[global]\nindex-url = {access.index}\n{trusted}"
    with ExitStack() as stack:
        files = {name: stack.enter_context(_file(text)) for name, text in texts.items() if text}
        yield files | ({"ca": access.ca} if access.ca else {})


@contextmanager
def _file(text: str) -> Iterator[Path]:
    """A file with *text*: in memory, and gone with this process, where there is such a thing."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("secret")
        try:
            os.write(descriptor, text.encode())
            yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield Path(file.name)


def _index_of_pip() -> str:
    """What pip's configuration names, if there is a pip."""
    said = program.ask(sys.executable, "-m", "pip", "config", "get", "global.index-url") or program.ask(
        "pip", "config", "get", "global.index-url"
    )
    return (said or "").strip()


def _netrc_of(index: str, env: Mapping[str, str]) -> str:
    """The lines about the host of *index* alone: a build needs no other password."""
    host = urlsplit(index).hostname or ""
    try:
        place = env.get("NETRC") or Path.home() / ".netrc"
        found = netrc.netrc(place).hosts.get(host) if host else None
    except (OSError, RuntimeError, netrc.NetrcParseError):
        return ""
    return f"machine {host}\nlogin {found[0]}\npassword {found[2]}\n" if found else ""
