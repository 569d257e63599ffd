"""Input is exact whatever breaks: connections are cut, workers and main killed, the supervisor upgraded."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jobrunner
import pytest
from running import Service, again, running

from service.operations.supervisor import upgrade

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# A hundred, with fifty deaths and fifty upgrades, take minutes; a run by hand sets it.
MIB = int(os.environ.get("STDIN_MIB", "3"))  # noqa: TID251 - of the test alone
PIECE_BYTES = 700_000  # several requests each, none of them of a round size


class CuttingProxy:
    """In front of a service: each connection is reset after a number of bytes, in either direction,
    of which some are lost.
    """

    def __init__(self, port: int, rng: random.Random, *, most: int) -> None:
        self._target = ("127.0.0.1", port)
        self._rng, self._most = rng, most
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        left = [self._rng.randrange(1, self._most)]
        with near, contextlib.suppress(OSError), socket.create_connection(self._target) as far:
            back = threading.Thread(target=self._pump, args=(far, near, left), daemon=True)
            back.start()
            self._pump(near, far, left)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(50_000):
                left[0] -= len(data)
                if left[0] < 0:
                    self.cuts += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path / "jobrunner", workers=2) as service:
        yield service


def test_a_long_input_is_exact_over_cuts_deaths_and_upgrades(service: Service):
    content = random.Random(11).randbytes(MIB << 20)
    job_id = service.submit({"CommandLine": "cat | sha256sum", "Stdin": True})
    proxy = CuttingProxy(service.port, random.Random(1), most=500_000)
    pieces = range(0, len(content), PIECE_BYTES)
    with jobrunner.Client(proxy.url, timeout=300) as client:
        job, offset = client.job(job_id), 0
        for number, begin in enumerate(pieces):
            if number % 3 == 1:  # while a piece is on its way, or before it
                service.wait_for_line("worker_ready", 2 + number // 3)
                os.kill(service.worker_pids()[-1], signal.SIGKILL)
            if number % 3 == 2:
                assert asyncio.run(upgrade(service.state_dir)) is None
            piece = content[begin : begin + PIECE_BYTES]
            offset = job.send(piece, offset=offset, eof=number == len(pieces) - 1)
        assert offset == len(content)
    proxy.close()
    view = service.wait(job_id)
    assert view["ExitCode"] == 0
    assert service.output(job_id).split()[0].decode() == hashlib.sha256(content).hexdigest()
    assert proxy.cuts > MIB


def test_a_long_input_is_exact_over_the_death_of_main_and_a_start_anew(tmp_path: Path):
    content = random.Random(13).randbytes(MIB << 20)
    with (
        running(tmp_path / "jobrunner", workers=2) as service,
        jobrunner.Client(service.url, timeout=300) as client,
    ):
        job_id = service.submit({"CommandLine": "cat | sha256sum", "Stdin": True})
        job = client.job(job_id)
        offset = job.send(content[:PIECE_BYTES])
        rest = content[PIECE_BYTES:]
        sending = threading.Thread(
            target=job.send, args=(rest,), kwargs={"offset": offset, "eof": True}
        )
        sending.start()
        while service.client.post(f"/{job_id}/stdin").json()["Offset"] < 2 * PIECE_BYTES:
            assert sending.is_alive()
        os.kill(service.process.pid, signal.SIGKILL)
        service.crash()  # those of its workers that haven't seen it
        with again(service) as successor:
            sending.join()
            assert successor.wait(job_id)["ExitCode"] == 0
            digest = successor.output(job_id).split()[0].decode()
            assert digest == hashlib.sha256(content).hexdigest()


def test_an_input_outlives_the_whole_service(tmp_path: Path):
    with running(
        tmp_path / "jobrunner", workers=2, environment={"JOBRUNNER_SHUTDOWN": "leave"}
    ) as service:
        job_id = service.submit({"CommandLine": "cat", "Stdin": True})
        first = service.client.post(f"/{job_id}/stdin", content=b"before ").json()
        service.crash()
        with again(service) as successor:
            late = successor.client.post(f"/{job_id}/stdin?offset=0", content=b"before ")
            assert (late.status_code, late.json()["offset"]) == (409, first["Offset"])
            successor.client.post(f"/{job_id}/stdin?offset=7&eof=true", content=b"and after")
            successor.wait(job_id)
            assert successor.output(job_id) == b"before and after"


def test_a_reload_ends_the_writers_that_wait_with_what_was_taken(service: Service):
    """They are told to try again, and nothing is lost or doubled by that."""
    go = service.state_dir.parent / "go"
    os.mkfifo(go)
    job_id = service.submit({"CommandLine": f"read -r _ < {go}; cat | sha256sum", "Stdin": True})
    content = random.Random(12).randbytes(1 << 20)
    told: list[int] = []
    with jobrunner.Client(service.url, timeout=300) as client:
        sending = threading.Thread(
            target=lambda: told.append(client.job(job_id).send(content, eof=True))
        )
        sending.start()
        while service.client.post(f"/{job_id}/stdin").json()["Offset"] <= 64 << 10:
            assert sending.is_alive()
        for pid in service.worker_pids():
            os.kill(pid, signal.SIGTERM)
        service.wait_for_line(r"worker_ready", 4)
        go.write_bytes(b"\n")
        sending.join()
    service.wait(job_id)
    assert told == [len(content)]
    assert service.output(job_id).split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_request_that_waits_for_the_job_is_not_cut_by_a_limit_on_its_time(tmp_path: Path):
    """Neither while its body is held back, nor while its sender pauses; and its memory is flat."""
    environment = {"SANIC_RESPONSE_TIMEOUT": "1", "JOBRUNNER_REQUEST_TIMEOUT": "1"}
    go = tmp_path / "go"
    os.mkfifo(go)
    with running(tmp_path / "jobrunner", environment=environment) as service:
        line = f"read -r _ < {go}; cat | wc -c"
        job_id = service.submit({"CommandLine": line, "Stdin": True})
        size, sent = 32 << 20, 0

        def body() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(size >> 20):
                yield bytes(1 << 20)
                sent += 1 << 20
            # The time of a request passes while another one waits for it.
            service.client.get(f"/{silent}/wait", params={"timeout": "2.2"})
            yield b"last"

        silent = service.submit("sleep 600")
        service.client.post(f"/{job_id}/stdin")  # what is loaded for it is
        pids = [*service.worker_pids(), service.supervisor_pid()]
        before = {pid: _rss_bytes(pid) for pid in pids}
        with ThreadPoolExecutor(1) as pool:
            url = f"{service.url}/{job_id}/stdin?eof=true"
            sending = pool.submit(httpx.post, url, content=body(), timeout=300)
            service.client.get(f"/{silent}/wait", params={"timeout": "2.2"})
            assert sent < size / 2
            assert all(_rss_bytes(pid) < rss + size / 3 for pid, rss in before.items())
            go.write_bytes(b"\n")
            answer = sending.result()
        assert answer.json() == {"Offset": size + 4}
        service.wait(job_id)
        assert int(service.output(job_id)) == size + 4
        service.kill(silent, grace=0)


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
