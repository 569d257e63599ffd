"""Four workers: whatever one of them accepted, the others answer for.

Which worker a connection belongs to is not left to chance: it is opened while the others are
stopped, and the kernel is asked whose it is.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from leaks import descriptors
from running import Service, running

pytestmark = pytest.mark.e2e

FUSE_S = 300
JOBS = 200
WORKERS = 4
# Connections to each worker: many, so that each worker serves several at a time.
CONNECTIONS = 5


class Connection:
    """A connection that is kept, to one worker."""

    def __init__(self, service: Service) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", service.port, timeout=FUSE_S)
        self._http.connect()
        self.port: int = self._http.sock.getsockname()[1]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        data = None if body is None else json.dumps(body)
        self._http.request(method, path, data, headers)
        answer = self._http.getresponse()
        content = answer.read()
        assert answer.status in (200, 201), (answer.status, content)
        is_json = answer.headers["content-type"] == "application/json"
        return json.loads(content) if is_json else content

    def submit(self, line: str) -> str:
        job_id: str = self("POST", "/", {"CommandLine": line})["ID"]
        return job_id

    @contextlib.contextmanager
    def attached(self, job_id: str) -> Iterator[http.client.HTTPResponse]:
        """The output as it comes; to be read to its end."""
        self._http.request("GET", f"/{job_id}/attach")
        yield self._http.getresponse()

    def close(self) -> None:
        self._http.close()


def worker_pids(service: Service) -> list[int]:
    ready = (re.search(r"worker_ready\W+pid\W+(\d+)", line) for line in service.lines)
    return [int(found[1]) for found in ready if found]


def owner_of(service: Service, port: int) -> int:
    """The worker that holds the other end of the connection from this port.

    Source: proc(5), /proc/net/tcp: local and remote address, in hexadecimal; the tenth field is the
    inode.
    """
    ends = f":{service.port:04X}", f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1][-5:], fields[2][-5:]) == ends:
            wanted = f"socket:[{fields[9]}]"
            break
    else:
        raise AssertionError("no such connection")
    for pid in worker_pids(service):
        if wanted in descriptors(pid).values():
            return pid
    raise AssertionError("the connection belongs to no worker")


@contextlib.contextmanager
def alone(service: Service, worker: int) -> Iterator[None]:
    """Meanwhile this worker is the only one that runs."""
    others = [pid for pid in worker_pids(service) if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("four") / "jobrunner", workers=WORKERS) as service:
        yield service


@pytest.fixture(scope="module")
def to(four: Service) -> Iterator[list[list[Connection]]]:
    """Connections by the worker that they belong to."""
    with contextlib.ExitStack() as stack:
        found = []
        for worker in worker_pids(four):
            with alone(four, worker):
                own = [
                    stack.enter_context(contextlib.closing(Connection(four)))
                    for _ in range(CONNECTIONS)
                ]
                for connection in own:
                    connection("GET", "/health/live")
            assert {owner_of(four, connection.port) for connection in own} == {worker}
            found.append(own)
        assert len(found) == WORKERS
        yield found


def elsewhere(to: list[list[Connection]], accepter: int) -> list[list[Connection]]:
    """The connections of the other workers."""
    return [own for number, own in enumerate(to) if number != accepter]


def at_once(calls: list[tuple[Connection, tuple[Any, ...]]]) -> list[Any]:
    """The answers to all requests, in order; each connection asks one after the other, and all of
    them at the same time.
    """
    by_connection = collections.defaultdict(list)
    for number, (connection, request) in enumerate(calls):
        by_connection[connection].append((number, request))

    def ask(connection: Connection) -> list[tuple[int, Any]]:
        return [(number, connection(*request)) for number, request in by_connection[connection]]

    with concurrent.futures.ThreadPoolExecutor(len(by_connection)) as pool:
        answers = itertools.chain(*pool.map(ask, by_connection))
    return [answer for _, answer in sorted(answers, key=lambda pair: pair[0])]


def test_two_hundred_jobs_are_answered_for_by_workers_that_did_not_accept_them(four, to, gate):
    """Half of them end by themselves, half are killed; each request about one goes to another
    worker than the one that accepted it.
    """
    accepters = [number % WORKERS for number in range(JOBS)]
    turns = [
        itertools.cycle(itertools.chain(*zip(*elsewhere(to, n), strict=True))) for n in range(4)
    ]
    own = [itertools.cycle(connections) for connections in to]

    def asked(*request: Any, of: list[int] | None = None) -> list[Any]:
        """The same request about each of the jobs; `*` stands for the ID."""
        return at_once(
            [
                (next(turns[accepters[n]]), tuple(part.replace("*", ids[n]) for part in request))
                for n in (range(JOBS) if of is None else of)
            ]
        )

    def line(number: int) -> str:
        then = f"read -r _ < {gate}; exit {number % 7}" if number % 2 else "exec sleep 1000"
        return f"echo job {number}; {then}"

    bodies = [{"CommandLine": line(number)} for number in range(JOBS)]
    submitted = [(next(own[accepters[n]]), ("POST", "/", bodies[n])) for n in range(JOBS)]
    ids = [answer["ID"] for answer in at_once(submitted)]
    assert len(set(ids)) == JOBS

    # While they live
    for other in to:
        assert set(ids) <= set(other[0]("GET", "/")["IDs"])
    views = asked("GET", "/*")
    assert [view["ID"] for view in views] == ids
    assert {view["State"] for view in views} <= {"pending", "running"}
    assert {view["State"] for view in asked("GET", "/*/wait?timeout=0")} <= {"pending", "running"}
    outputs = asked("GET", "/*/attach?follow=false")
    assert all(output in (b"", b"job %d\n" % n) for n, output in enumerate(outputs))

    # Ended by themselves, and waited for elsewhere
    ending = list(range(1, JOBS, 2))
    gate.open(len(ending))
    ended = asked("GET", "/*/wait", of=ending)
    assert [(v["State"], v["ExitCode"]) for v in ended] == [("exited", n % 7) for n in ending]

    # Killed elsewhere
    killing = list(range(0, JOBS, 2))
    assert {answer["State"] for answer in asked("DELETE", "/*?wait=true", of=killing)} == {"killed"}
    killed = asked("GET", "/*", of=killing)
    assert {(view["State"], view["Reason"]) for view in killed} == {("killed", "requested")}
    assert all(view["Kill"]["VerifiedGone"] for view in killed)

    # Finished
    assert asked("GET", "/*/attach") == [b"job %d\n" % n for n in range(JOBS)]
    for other in to:
        assert not set(ids) & set(other[0]("GET", "/")["IDs"])
        assert set(ids) <= set(other[0]("GET", "/?state=all")["IDs"])
    assert {answer["ID"] for answer in asked("POST", "/*/clean")} == set(ids)
    assert not set(ids) & set(to[0][0]("GET", "/?state=all")["IDs"])


@pytest.mark.parametrize("accepter", range(WORKERS))
def test_a_live_job_is_followed_and_waited_for_through_every_worker(four, to, gate, accepter):
    """Those that attach and wait are woken by what another worker does."""
    job_id = to[accepter][0].submit(f"echo one; read -r _ < {gate}; echo two")
    others = list(itertools.chain(*(own[:2] for own in elsewhere(to, accepter))))
    with (
        concurrent.futures.ThreadPoolExecutor(len(others)) as pool,
        to[accepter - 1][2].attached(job_id) as output,
    ):
        asked = [
            pool.submit(connection, "GET", f"/{job_id}/{verb}")
            for connection, verb in zip(others, itertools.cycle(("attach", "wait")), strict=False)
        ]
        assert output.read(4) == b"one\n"
        gate.open()
        assert output.read() == b"two\n"
        answers = [future.result(FUSE_S) for future in asked]
    assert answers[::2] == [b"one\ntwo\n"] * 3
    assert [view["ExitCode"] for view in answers[1::2]] == [0] * 3


def test_a_signal_reaches_a_job_once_through_every_worker(to):
    # A shell's child may miss a signal until its exec.
    child = "bash -c 'echo ready; exec sleep 600'"
    line = f"trap 'echo got' HUP; while :; do {child} & wait $!; wait $!; done"
    job_id = to[0][0].submit(line)
    with to[0][1].attached(job_id) as output:
        assert output.readline() == b"ready\n"
        for connection, *_ in to:
            assert connection("POST", f"/{job_id}/signal?signal=HUP")["Processes"] == 2
            assert (output.readline(), output.readline()) == (b"got\n", b"ready\n")
        to[1][0]("DELETE", f"/{job_id}?grace=0&wait=true")
        assert output.read() == b""


def test_one_key_sent_to_every_worker_makes_one_job(to):
    body = {"CommandLine": "true"}

    def submit(connection: Connection) -> tuple[int, str]:
        connection._http.request(
            "POST",
            "/",
            json.dumps(body),
            {"Content-Type": "application/json", "Idempotency-Key": "the one"},
        )
        answer = connection._http.getresponse()
        return answer.status, json.loads(answer.read())["ID"]

    connections = list(itertools.chain(*to))
    with concurrent.futures.ThreadPoolExecutor(len(connections)) as pool:
        answers = list(pool.map(submit, connections))
    assert len({job_id for _, job_id in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * (len(answers) - 1) + [201]


def test_a_worker_that_stands_still_holds_nobody_up(four, to, gate):
    """Jobs of others begin and end; the output of its own is followed all the same, and only what
    is to be recorded of those waits for it.
    """
    standing, *others = to
    own = standing[0].submit(f"echo mine; read -r _ < {gate}; echo on")
    with others[0][0].attached(own) as output:
        assert output.read(5) == b"mine\n"
        worker = owner_of(four, standing[0].port)
        os.kill(worker, signal.SIGSTOP)
        try:
            for connections in others:
                job_id = connections[1].submit("exit 3")
                for other in others:
                    assert other[2]("GET", f"/{job_id}/wait")["ExitCode"] == 3
            gate.open()
            assert output.read(3) == b"on\n"
        finally:
            os.kill(worker, signal.SIGCONT)
        assert output.read() == b""
    assert others[0][0]("GET", f"/{own}")["State"] == "exited"


def test_whoever_sees_output_finds_its_job_started(four, to):
    """In every worker, however soon it is asked."""
    for turn in range(30):
        accepter, reader, asked = (to[(turn + n) % WORKERS][0] for n in range(3))
        job_id = accepter.submit("echo up; exec sleep 1000")
        with reader.attached(job_id) as output:
            assert output.readline() == b"up\n"
            states = {asked("GET", f"/{job_id}")["State"]}
            states.add(accepter("GET", f"/{job_id}/wait?timeout=0")["State"])
            assert accepter("DELETE", f"/{job_id}?grace=0&wait=true")["State"] == "killed"
            assert output.read() == b""
        assert states == {"running"}
