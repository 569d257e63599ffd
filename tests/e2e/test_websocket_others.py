"""Others' WebSocket clients, as they are: Kubernetes' for Python and Node, websocat, wscat, and websockets' own command."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gates import Gate
from node_modules import CLIENTS, FUSE_S, IS_CI, installed
from running import Service, running
from websocket_clients import V4, V5, url_of

kubernetes = pytest.importorskip(
    "kubernetes", reason="clients of others are installed in one environment only"
)
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner", workers=2) as service:
        yield service


def attached(service: Service, job_id: str, subprotocol: str, *, binary: bool) -> Any:
    """A `WSClient`, connected."""
    from kubernetes.stream.ws_client import WSClient

    return WSClient(
        kubernetes.client.Configuration(host=service.url),
        url_of(service, job_id),
        {"sec-websocket-protocol": subprotocol},
        capture_all=True,
        binary=binary,
    )


@pytest.fixture
def closing_later() -> Iterator[Any]:
    """Closes a client's connection after the test: it keeps one that the service has ended."""
    with contextlib.ExitStack() as opened:

        def later(client: Any) -> Any:
            opened.callback(client.sock.shutdown)
            return client

        yield later


@pytest.mark.parametrize("subprotocol", [V5, V4])
def test_kubernetes_for_python_feeds_a_job_and_reads_digest_and_exit_code(
    service: Service, closing_later: Any, subprotocol: str
) -> None:
    data = random.Random(2).randbytes(3 << 20)
    line = f"head -c {len(data)} | cat | sha256sum; echo err >&2; exit 7"
    if subprotocol == V5:
        line = "cat | sha256sum; echo err >&2; exit 7"  # its client can end its input
    job_id = service.submit({"CommandLine": line, "Stdin": True})
    client = closing_later(attached(service, job_id, subprotocol, binary=True))
    assert client.subprotocol == subprotocol
    for at in range(0, len(data), 1 << 16):
        client.write_stdin(data[at : at + (1 << 16)])
    client.close_channel(0)
    client.run_forever(timeout=FUSE_S)
    assert client.read_stdout().split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert client.read_stderr() == b"err\n"
    assert client.returncode == 7


def test_kubernetes_for_python_writes_text_and_reads_lines(
    service: Service, closing_later: Any
) -> None:
    line = "while read -r line; do echo got $line; done"
    job_id = service.submit({"CommandLine": line, "Stdin": True})
    client = closing_later(attached(service, job_id, V5, binary=False))
    for word in ("one", "zwölf"):
        client.write_stdin(word + "\n")
        assert client.readline_stdout(timeout=FUSE_S) == f"got {word}"
    client.close_channel(0)
    client.run_forever(timeout=FUSE_S)
    assert client.returncode == 0


def test_kubernetes_for_node_attaches(service: Service, tmp_path: Path) -> None:
    modules = installed()
    shutil.copy(CLIENTS / "attach.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    data = random.Random(3).randbytes(1 << 20)
    job_id = service.submit({"CommandLine": "tee /dev/stderr; exit 3", "Stdin": True})
    done = subprocess.run(
        ["node", "attach.mjs", service.url, job_id],
        cwd=tmp_path,
        input=data,
        capture_output=True,
        timeout=FUSE_S,
        check=True,
    )
    assert done.stdout == data
    first, _, rest = done.stderr.partition(b"\n")
    assert first == f"spoken {V5}".encode()
    assert rest[: len(data)] == data
    code, status = rest[len(data) :].decode().removeprefix("closed ").split(" ", 1)
    assert code == "1000"
    assert json.loads(status)["details"]["causes"][0]["message"] == "3"


def program(name: str) -> Path:
    """Of a Python package that brings a program."""
    found = Path(sys.executable).parent / name
    if not found.exists() and not IS_CI:
        pytest.skip(f"{name} isn't installed")
    return found


def test_websocat_reads_and_writes_bytes(service: Service) -> None:
    data = random.Random(4).randbytes(1 << 20)
    job_id = service.submit({"CommandLine": f"head -c {len(data)}; echo err >&2", "Stdin": True})
    done = subprocess.run(
        [program("websocat"), "--binary", "--no-close", url_of(service, job_id)],
        input=data,
        capture_output=True,
        timeout=FUSE_S,
        check=True,
    )
    assert done.stdout == service.output(job_id)
    assert service.output(job_id, stream="stdout") == data
    replay = subprocess.run(
        [program("websocat"), "--binary", "--no-close", url_of(service, job_id)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=FUSE_S,
        check=True,
    )
    assert replay.stdout == done.stdout


def test_a_line_of_websocat_is_typed_though_it_ends_at_once(service: Service) -> None:
    job_id = service.submit({"CommandLine": "head -n 1", "Stdin": True})
    subprocess.run(
        [program("websocat"), "--one-message", url_of(service, job_id)],
        input=b"hello\n",
        capture_output=True,
        timeout=FUSE_S,
        check=True,
    )
    service.wait(job_id)
    assert service.output(job_id) == b"hello\n"


def test_wscat_types_a_line_and_shows_what_comes(service: Service, tmp_path: Path) -> None:
    modules = installed()
    job_id = service.submit({"CommandLine": "read -r line; echo got $line", "Stdin": True})
    command = [
        "node",
        modules / "wscat/bin/wscat",
        "-c",
        url_of(service, job_id),
        "-x",
        "one\n",
        "-w",
        "-1",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        # It ends when the service closes; the end of its standard input would end it before.
        process.wait(FUSE_S)
        said, _ = process.communicate()
    assert b"got one" in said


def test_the_command_of_websockets_shows_what_comes(service: Service, gate: Gate) -> None:
    job_id = service.submit({"CommandLine": f"echo one; read -r _ < {gate}; echo two"})
    command = [sys.executable, "-P", "-m", "websockets", url_of(service, job_id)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        gate.open()
        process.wait(
            FUSE_S
        )  # by the service's close: it would close too when its standard input ended
        said, _ = process.communicate()
    assert b"one\n".hex().encode() in said
    assert b"two\n".hex().encode() in said
    assert b"Connection closed: 1000" in said
