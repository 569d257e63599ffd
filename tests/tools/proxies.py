"""The proxies that deploy/ has sites for, each a process of the test's own, with a certificate for loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import trustme
from running import Service, free_port
from waiting import until

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
NAME: Final = "jobrunner.example"
PROXIES: Final = ("nginx", "caddy", "haproxy")
_SITES: Final = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg"}
_PATH: Final = f"{os.defpath}:/usr/sbin:/sbin"  # where Debian has them


def program(proxy: str) -> str | None:
    return shutil.which(proxy, path=_PATH)


class Certificate:
    """Files with a certificate for the site, in the forms that the proxies read."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()  # type: ignore[attr-defined]  # mypy finds none of its names
        issued = authority.issue_cert(NAME, "localhost", "127.0.0.1")
        self.authority = directory / "authority.pem"
        self.chain, self.key, self.both = (
            directory / name for name in ("fullchain.pem", "privkey.pem", "jobrunner.pem")
        )
        authority.cert_pem.write_to_path(str(self.authority))
        issued.cert_chain_pems[0].write_to_path(str(self.chain))
        issued.private_key_pem.write_to_path(str(self.key))
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.both))


@dataclass(frozen=True)
class Site:
    """A proxy that runs in front of a service."""

    proxy: str
    url: str
    port: int
    authority: Path
    client: httpx.Client
    curl: str

    def shell(self, commands: str) -> str:
        """Commands of a document, which call the service as `localhost:8080`, through this proxy."""
        return commands.replace("localhost:8080", self.url).replace("curl ", f"{self.curl} ")


def site_text(proxy: str, upstream: str, port: int, certificate: Certificate) -> str:
    """The site as it stands in deploy/, but for its ports and its certificate."""
    text = (DEPLOY / _SITES[proxy]).read_text()
    changes = {
        "nginx": {"listen 443 ssl": f"listen 127.0.0.1:{port} ssl"},
        "caddy": {f"{NAME} {{": f"https://{NAME}:{port} {{\n\tbind 127.0.0.1"},
        "haproxy": {"bind :443": f"bind 127.0.0.1:{port}"},
    }[proxy]
    changes |= {"127.0.0.1:8080": upstream}
    for place in certificate.chain, certificate.key, certificate.both:
        named = f"/etc/ssl/jobrunner/{place.name}"
        if named in text:
            changes[named] = str(place)
    return replaced(text, changes)


def replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _arguments(proxy: str, directory: Path, site: str) -> list[str]:
    found = program(proxy)
    assert found is not None
    (directory / "site").write_text(site)
    if proxy == "caddy":
        globals_ = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
        (directory / "Caddyfile").write_text(f"{globals_}import {directory}/site\n")
        config = str(directory / "Caddyfile")
        return [found, "run", "--config", config, "--adapter", "caddyfile"]
    if proxy == "haproxy":
        return [found, "-db", "-f", str(directory / "site")]
    (directory / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {directory}/pid; events {{}}\n"
        f"http {{ access_log off; include {directory}/site;\n"
        + "".join(
            f"{name}_temp_path {directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "}\n"
    )
    config = str(directory / "nginx.conf")
    return [found, "-c", config, "-e", str(directory / "error.log")]


def listens(port: int) -> bool:
    """Whether connections are accepted there."""
    try:
        socket.create_connection(("127.0.0.1", port), 30).close()
    except ConnectionRefusedError:
        return False
    return True


@contextmanager
def proxied(
    proxy: str,
    directory: Path,
    service: Service,
    *,
    token: str = "",
    changes: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """The proxy in front of `service`, with its site of deploy/ after `changes`; its clients send `token`."""
    directory.mkdir()
    certificate, port = Certificate(directory), free_port()
    site = site_text(proxy, f"127.0.0.1:{service.port}", port, certificate)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            _arguments(proxy, directory, replaced(site, changes or {})),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"HOME": str(directory), "PATH": _PATH, "XDG_DATA_HOME": str(directory)},
        )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    curl = f"curl --cacert {certificate.authority} --connect-to ::127.0.0.1:{port}"
    curl += "".join(f" -H '{name}: {value}'" for name, value in headers.items())
    try:
        until(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, (directory / "log").read_text()
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Host": NAME, **headers},
            timeout=300,
            transport=httpx.HTTPTransport(
                http2=True,
                verify=ssl.create_default_context(cafile=certificate.authority),
            ),
        ) as client:
            yield Site(proxy, f"https://{NAME}", port, certificate.authority, client, curl)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
