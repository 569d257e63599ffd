"""Others' programs that read output: each gets the whole log, whatever happens to the connection."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gates import Gate
from node_modules import CLIENTS, FUSE_S, IS_CI, installed, ran
from running import Service, running

_REASON = "clients of others are installed in one environment only"
docker = pytest.importorskip("docker", reason=_REASON)
httpx_sse = pytest.importorskip("httpx_sse", reason=_REASON)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Text and binary, sequences of UTF-8 in two writes, both streams; the gate is in the middle.
WRITES = r"""
for n in $(seq 300); do
    printf 'Gr\303'; printf '\274\303\237e %s \360\237' $n; printf '\230\200\n'
    printf 'err %s\n' $n >&2
    printf '\377\376\000\r' >&2
done
"""
SCRIPT = WRITES + "read -r _ < {gate}\n" + WRITES + "printf 'no end \\342\\202'; exit 3"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner", workers=2) as service:
        yield service


def log_of(service: Service, job_id: str) -> bytes:
    return (service.state_dir / "logs" / job_id / "output").read_bytes()


def kill_workers(service: Service, *, but: int = 0) -> None:
    """All that serve now; others take their place."""
    ready = len(service.worker_pids())
    for pid in service.worker_pids()[-2:]:
        os.kill(pid, signal.SIGKILL)
    service.wait_for_line("worker_ready", ready + 2 - but)


def assert_end(service: Service, job_id: str, end: dict[str, Any]) -> None:
    log = log_of(service, job_id)
    assert (end["State"], end["ExitCode"], end["Bytes"]) == ("exited", 3, len(log))
    assert end["SHA256"] == hashlib.sha256(log).hexdigest()


def test_httpx_sse_gets_the_log_over_a_kill_of_the_workers(service: Service, gate: Gate) -> None:
    job_id = service.submit(SCRIPT.format(gate=gate))
    output, last, ends, killed, responses = b"", "", [], False, []
    with httpx.Client(base_url=service.url, timeout=FUSE_S) as client:
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                with httpx_sse.connect_sse(
                    client, "GET", f"/{job_id}/attach", headers=headers
                ) as source:
                    responses.append(source.response.status_code)
                    if responses[-1] != 200:
                        break
                    for event in source.iter_sse():
                        last = event.id or last
                        body = event.json()
                        if event.event == "end":
                            ends.append(body)
                            break  # a reader closes by itself
                        data = body.get("Data")
                        output += body["Text"].encode() if data is None else base64.b64decode(data)
                        if not killed and len(output) > 1000:
                            killed = True
                            kill_workers(service)
                            gate.open()
            except httpx.TransportError:
                continue
    assert output == log_of(service, job_id)
    assert killed
    assert len(ends) == 1
    assert_end(service, job_id, ends[0])
    assert responses[-1] == 204
    assert len(responses) >= 3


def test_an_eventsource_gets_the_log_over_a_kill_of_the_workers_and_stops(
    service: Service, gate: Gate, tmp_path: Path
) -> None:
    modules = installed()
    shutil.copy(CLIENTS / "events.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    job_id = service.submit(SCRIPT.format(gate=gate))
    with subprocess.Popen(
        ["node", "events.mjs", f"{service.url}/{job_id}/attach"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "began\n"
        kill_workers(service)
        gate.open()
        said, _ = process.communicate(timeout=FUSE_S)
    found = json.loads(said)
    assert base64.b64decode(found["output"]) == log_of(service, job_id)
    [end] = found["ends"]
    assert_end(service, job_id, end)
    assert end["id"] == f"{len(log_of(service, job_id))}.end"
    # Once, again after the kill; the answer to the third try was 204, and there was no fourth.
    assert found["opened"] == 2
    assert found["code"] == 204


def test_jq_puts_ndjson_together_again(service: Service, tmp_path: Path) -> None:
    job_id = service.submit("seq 1000; echo 'Grüße \"quoted\" \\ \t' >&2; printf end")
    url = f"{service.url}/{job_id}/attach"
    for parameters, program in (
        ("format=ndjson", 'select(.Type == "output").Text'),
        (
            "format=ndjson&lines=true",
            'select(.Type == "output") | .Text + if .Partial then "" else "\n" end',
        ),
    ):
        pipeline = f"curl -sSN '{url}?{parameters}' | jq -j '{program}'"
        assert ran("bash", "-euc", pipeline, directory=tmp_path).encode() == log_of(service, job_id)
    last = f"curl -sSN -H 'Accept: application/jsonl' '{url}' | jq -c 'select(.Type == \"end\")'"
    end = json.loads(ran("bash", "-euc", last, directory=tmp_path))
    assert end["SHA256"] == hashlib.sha256(log_of(service, job_id)).hexdigest()


def test_dockers_own_client_reads_its_format(service: Service) -> None:
    job_id = service.submit("for n in $(seq 200); do echo out $n; printf 'e\\377' >&2; done")
    service.wait(job_id)
    client = docker.APIClient(base_url=service.url, version="1.43")
    headers = {"Accept": "application/vnd.docker.multiplexed-stream"}
    response = client.get(f"{service.url}/{job_id}/attach", stream=True, headers=headers)
    frames = b"".join(client._multiplexed_response_stream_helper(response))
    assert frames == log_of(service, job_id)
    for stream in (1, 2):
        with service.client.stream("GET", f"/{job_id}/attach?format=docker") as answer:
            raw = answer.read()
        found = docker.utils.socket.demux_adaptor  # what tells the streams apart
        out = [found(number, data)[stream - 1] for number, data in frames_of(raw)]
        name = {1: "stdout", 2: "stderr"}[stream]
        assert b"".join(filter(None, out)) == service.output(job_id, stream=name)


def frames_of(raw: bytes) -> list[tuple[int, bytes]]:
    """As `docker.utils.socket.frames_iter` reads them, which wants a socket."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as file:
            file.write(raw)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as file:
        frames = list(docker.utils.socket.frames_iter(file, tty=False))
    os.waitpid(pid, 0)
    return frames


def test_asciinema_plays_a_job(service: Service, tmp_path: Path) -> None:
    job_id = service.submit("echo 'Grüße'; printf 'a\\rb\\n' >&2; printf '\\033[1mbold\\033[0m'")
    service.wait(job_id)
    cast = service.client.get(f"/{job_id}/attach?format=asciicast").content
    (tmp_path / "job.cast").write_bytes(cast)
    program = Path(sys.executable).parent / "asciinema"
    if not program.exists() and not IS_CI:
        pytest.skip("asciinema isn't installed")
    shown = subprocess.run(
        [program, "cat", "job.cast"],
        cwd=tmp_path,
        env={**os.environ, "LANG": "C.UTF-8"},  # noqa: TID251 - what it needs besides
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=FUSE_S,
        check=True,
    ).stdout
    assert shown == log_of(service, job_id).replace(b"\n", b"\r\n")
    header, *events = map(json.loads, cast.splitlines())
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert abs(header["timestamp"] - time.time()) < 3600
    times = [event[0] for event in events]
    assert times == sorted(times)
    assert 0 <= times[0] < 60
