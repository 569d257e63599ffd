"""Another program answers in place of the service for a while: no client takes that for an answer."""

from __future__ import annotations

import jobrunner
import pytest
from command_line import CommandLine
from gates import Gate
from portals import SILENCE, portal_before
from running import Service

pytestmark = [pytest.mark.e2e, pytest.mark.once]

PAGE = b"<html><h1>Welcome to the hotel</h1></html>"
HTML = b"Content-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE
PORTALS = {
    "200": b"HTTP/1.1 200 OK\r\n" + HTML,
    "302": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/login\r\nContent-Length: 0\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\n" + HTML,
    "no HTTP": b"220 mail.example ESMTP\r\n",
}
NUMBERS = "seq 1 9; read -r _ < {gate}; seq 10 19; seq 1 3 >&2; exit 5"


def test_a_command_outlasts_a_portal(service: Service, gate: Gate):
    with portal_before(service.url) as portal:
        cli = CommandLine(portal.url)
        with cli.started("run", NUMBERS.format(gate=gate.path), bufsize=0) as running:
            assert running.stdout.readline() == b"1\n"
            for answer in PORTALS.values():
                portal.take_over(answer)
                for _ in range(2):
                    portal.answered.get()
            portal.let_through()
            gate.open()
            out, err = running.communicate()
    assert out == b"".join(b"%d\n" % n for n in range(2, 20))
    assert [
        line for line in err.splitlines() if not line.startswith(b"jobrunner: The service")
    ] == [
        b"1",
        b"2",
        b"3",
    ]
    assert running.returncode == 5


def test_a_portal_is_no_service(service: Service):
    with portal_before(service.url) as portal:
        for name in ("200", "302", "404"):
            portal.take_over(PORTALS[name])
            done = CommandLine(portal.url)("run", "true", status=125)
            assert len(done.stderr.splitlines()) == 1
            assert name.encode() in done.stderr
            assert done.stdout == b""


@pytest.mark.parametrize("answer", [PORTALS["200"], SILENCE], ids=["portal", "silence"])
async def test_a_wait_ends_in_time_whatever_answers(service: Service, gate: Gate, answer):
    job_id = service.submit(f"read -r _ < {gate.path}")
    with portal_before(service.url) as portal, jobrunner.Client(portal.url) as client:
        async with jobrunner.AsyncClient(portal.url) as other:
            job, job_there = client.job(job_id), other.job(job_id)
            assert job.show().id == (await job_there.show()).id == job_id
            portal.take_over(answer)
            with pytest.raises(TimeoutError, match="no service answers"):
                job.wait(timeout=0.2)
            with pytest.raises(TimeoutError, match="no service answers"):
                await job_there.wait(timeout=0.2)
    gate.open()


def test_a_wait_and_a_kill_end_in_time_when_nothing_answers(service: Service, gate: Gate):
    job_id = service.submit(f"read -r _ < {gate.path}")
    with portal_before(service.url) as portal:
        client = jobrunner.Client(portal.url)
        job = client.job(job_id)
        job.show()
        portal.take_over(SILENCE)
        with pytest.raises(TimeoutError, match="no service answers"):
            job.kill(timeout=0.2)
    with client:  # nobody listens there now
        for wait in (job.wait, job.kill):
            with pytest.raises(TimeoutError, match="no service answers"):
                wait(timeout=0.3)
    gate.open()
