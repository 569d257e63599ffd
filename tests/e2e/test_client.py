"""The Python client against the real service: exact over any fault, and as its documents say."""

from __future__ import annotations

import asyncio
import doctest
import importlib.resources
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import jobrunner
import pytest
from gates import Gate
from running import Service, again, running

from service.client import address, requests, results, searching, selection, sync_client, sync_job

pytestmark = pytest.mark.e2e
WORKERS = 2

ROOT = Path(__file__).parents[2]
# Numbered lines, then a wait.
FLOOD = "seq 1 200000; read -r _ < {gate}; seq 200001 400000"
FLOODED = b"".join(b"%d\n" % n for n in range(1, 400001))


@pytest.fixture
def client(service: Service) -> Iterator[jobrunner.Client]:
    with jobrunner.Client(service.url) as client:
        yield client


def finders() -> list[tuple[str, object]]:
    return [
        ("client", sync_client.Client),
        ("job", sync_job.Job),
        ("results", results),
        ("requests", requests),
        ("address", address),
        ("searching", searching),
        ("selection", selection),
    ]


@pytest.mark.parametrize(("name", "of"), finders(), ids=[name for name, _ in finders()])
def test_the_examples_of_the_docstrings_happen(name, of, service, client, monkeypatch):
    monkeypatch.setenv("JOBRUNNER_URL", service.url)
    job = client.submit({"CommandLine": "echo hello"})
    job.wait()
    made: list[jobrunner.Client] = []

    def new() -> jobrunner.Client:
        made.append(jobrunner.Client())
        return made[-1]

    public = {**vars(results), **vars(requests), **vars(address)}
    public |= {**vars(searching), **vars(selection)}
    public |= {"Client": new, "client": client, "job": job}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(of, name, globs=dict(public)):
        runner.run(example)
    for each in made:
        each.close()
    assert runner.tries > 0
    assert runner.failures == 0


@pytest.mark.once
def test_the_blocks_of_the_readme_run(service: Service):
    text = (ROOT / "service/client/README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = "\n".join(blocks)
    ran(service, "-c", program)


def examples() -> str:
    """All that documents and docstrings show, and tests run."""
    text = (ROOT / "service/client/README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    sources = "\n".join(path.read_text() for path in (ROOT / "service/client").glob("*.py"))
    return "\n".join([*blocks, *re.findall(r"^ *(?:>>>|\.\.\.) (.*)", sources, re.MULTILINE)])


@pytest.mark.once
def test_every_public_name_has_an_example_that_runs():
    shown = examples()
    missing = [name for name in jobrunner.__all__ if not re.search(rf"\b{name}\b", shown)]
    for name in jobrunner.__all__:
        for member, value in vars(getattr(jobrunner, name)).items():
            if not member.startswith("_") and isinstance(value, FunctionType | property):
                missing += [] if re.search(rf"\.{member}\b", shown) else [f"{name}.{member}"]
    assert missing == []


@pytest.mark.once
def test_a_program_of_a_user_runs(service: Service):
    said = ran(service, str(ROOT / "tests/clients/build.py"), service.url)
    assert said.splitlines() == [
        "stdout: compiling",
        "stderr: warning",
        "exited 0 18",
        "['no such target']",
        "['19', '20', 'line 10: 10', 'exit code 0']",
        "18",
        "['one', 'two', 'SIGKILL']",
    ]


def ran(service: Service, *arguments: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if "JOBRUNNER" not in name}  # noqa: TID251 - a person's shell has them
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=inherited | {"JOBRUNNER_URL": service.url},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_says_that_it_has_types():
    for package in ("jobrunner", "service"):
        assert importlib.resources.files(package).joinpath("py.typed").is_file()


def test_a_run_returns_both_streams_byte_for_byte(client: jobrunner.Client):
    result = client.run("printf 'a\\xff\\0\\n'; printf 'b\\xc3' >&2; exit 7")
    assert (result.exit_code, result.ok) == (7, False)
    assert (result.stdout, result.stderr) == (b"a\xff\0\n", b"b\xc3")
    assert client.run("exit 0").ok


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("kill -9 $$", "was ended by SIGKILL"),
        ({"CommandLine": "sleep 1000", "Timeout": 1, "Grace": 0}, r"was killed \(timeout\)"),
        ({"CommandLine": "true", "WorkingDir": "/no/such"}, "couldn't be run: .*no/such"),
        ("exit 2", "exited with 2"),
    ],
)
def test_a_failure_says_how_the_job_ended(client: jobrunner.Client, command, said):
    with pytest.raises(jobrunner.CommandFailed, match=said) as raised:
        client.run(command, check=True)
    assert raised.value.result.job.state in ("exited", "killed")


def test_a_signal_is_no_kill(client: jobrunner.Client, service: Service):
    # The other process says that it is up: before that it has bash's trap, and forgets a signal.
    other = "bash -c 'echo up; exec sleep 600'"
    job = client.submit({"CommandLine": f"trap 'echo got' RTMIN+1; {other} & wait; wait"})
    lines = job.lines()
    assert next(lines) == b"up"
    assert job.signal("RTMIN+1") == 2
    assert [*lines] == [b"got"]
    assert job.wait().state == "exited"
    with pytest.raises(jobrunner.JobNotRunning, match="is exited"):
        job.signal("HUP")
    with pytest.raises(jobrunner.BadQuery, match="expected a signal's name"):
        job.signal("HANGUP")

    async def asynchronous() -> int:
        async with jobrunner.AsyncClient(service.url) as aclient:
            other = await aclient.submit({"CommandLine": "echo up; exec sleep 600"})
            async with other.lines() as output:
                assert await anext(output) == b"up"
            return await other.signal("INT")

    assert asyncio.run(asynchronous()) == 1


def test_a_stream_outlives_the_worker_that_serves_it(tmp_path: Path, gate: Gate):
    with running(tmp_path / "jobrunner", workers=1) as service:
        with jobrunner.Client(service.url) as client:
            job = client.submit({"CommandLine": FLOOD.format(gate=gate)})
            with job.stream() as output, job.records() as records:
                data = read_to(output, b"200000\n")
                pieces = read_records_to(records, b"200000\n")
                os.kill(service.worker_pids()[-1], signal.SIGKILL)
                gate.open()
                data += b"".join(output)
                pieces += [record.data for record in records]
            assert data == FLOODED
            assert b"".join(pieces) == FLOODED


def read_to(output: Iterator[bytes], ending: bytes) -> bytes:
    data = b""
    while not data.endswith(ending):
        data += next(output)
    return data


def read_records_to(records, ending: bytes) -> list[bytes]:
    pieces = [next(records).data]
    while not pieces[-1].endswith(ending):
        pieces.append(next(records).data)
    return pieces


def test_streams_and_waits_outlive_a_restart_of_the_service(tmp_path: Path, gate: Gate):
    leave = {"JOBRUNNER_SHUTDOWN": "leave"}
    told = threading.Event()
    with running(tmp_path / "jobrunner", environment=leave) as service:
        client = jobrunner.Client(service.url, on_retry=lambda _: told.set())
        job = client.submit({"CommandLine": FLOOD.format(gate=gate)})
        output = job.stream()
        data = read_to(output, b"200000\n")
        found: list[object] = []
        waiter = threading.Thread(target=lambda: found.append(job.wait()))
        waiter.start()
        reader = threading.Thread(target=lambda: found.append(b"".join(output)))
        reader.start()
        assert service.stop() == 0
        assert told.wait(100)
        with again(service):
            gate.open()
            waiter.join()
            reader.join()
            (view,) = (each for each in found if isinstance(each, jobrunner.JobView))
            (rest,) = (each for each in found if isinstance(each, bytes))
            assert (view.state, view.exit_code) == ("exited", 0)
            assert data + rest == FLOODED
            client.close()


def test_changes_go_on_after_a_restart_of_the_service(tmp_path: Path):
    with running(tmp_path / "jobrunner") as service:
        client = jobrunner.Client(service.url)
        first = client.run("true").job.id
        events = client.events(follow=True)
        assert next(events).job_id == first
        service.stop()
        with again(service):
            second = client.submit({"CommandLine": "exit 3"}).id
            for event in events:
                assert event.job_id == second
                if event.view is not None and event.view.state == "exited":
                    break
            client.close()


def test_close_ends_what_waits_in_other_threads(service: Service, gate: Gate):
    client = jobrunner.Client(service.url)
    job = client.submit({"CommandLine": f"echo ready; read -r _ < {gate}"})
    output, events = job.stream(), client.events(follow=True)
    assert next(output) == b"ready\n"
    next(events)
    ended: list[type[BaseException]] = []
    started = threading.Barrier(4)

    def wait_in(call) -> None:
        started.wait()
        try:
            for _ in iter(call, None):
                pass
        except Exception as exc:  # noqa: BLE001 - whatever ended it
            ended.append(type(exc))

    calls = (lambda: next(output), job.wait, lambda: next(events))
    threads = [threading.Thread(target=wait_in, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    started.wait()
    client.close()
    for thread in threads:
        thread.join(60)
    assert ended == [jobrunner.ClientClosed] * 3
    with pytest.raises(jobrunner.ClientClosed):
        job.show()
    gate.open()


async def test_close_ends_what_other_tasks_wait_for(service: Service, gate: Gate):
    client = jobrunner.AsyncClient(service.url)
    job = await client.submit({"CommandLine": f"echo ready; read -r _ < {gate}"})
    output = job.stream()
    assert await anext(output) == b"ready\n"
    waiting = [asyncio.ensure_future(each) for each in (anext(output), job.wait())]
    await client.job(job.id).show()  # both have begun
    await client.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [jobrunner.ClientClosed] * 2
    with pytest.raises(jobrunner.ClientClosed):
        await job.show()
    gate.open()


async def test_a_cancelled_read_loses_nothing(service: Service, gate: Gate):
    async with jobrunner.AsyncClient(service.url) as client:
        job = await client.submit({"CommandLine": f"echo one; read -r _ < {gate}; echo two"})
        async with job.stream() as output:
            assert await anext(output) == b"one\n"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(output)
            gate.open()
            assert [chunk async for chunk in output] == [b"two\n"]
            assert output.offset == 8


def test_an_exception_that_breaks_into_a_read_loses_nothing(client, gate: Gate):
    class Interrupt(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    job = client.submit({"CommandLine": f"echo one; read -r _ < {gate}; echo two"})
    output = job.stream()
    assert next(output) == b"one\n"
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(Interrupt):
        next(output)
    signal.signal(signal.SIGALRM, before)
    gate.open()
    assert list(output) == [b"two\n"]


def test_dropped_output_is_marked_as_the_service_marks_it(service: Service, client):
    job = {"CommandLine": "seq 1 100000; seq 1 9 >&2", "OutputLimit": 65536}
    result = client.run(job)
    marked = client.job(result.job.id)
    for stream in (None, "stdout", "stderr"):
        expected = service.output(marked.id, **({} if stream is None else {"stream": stream}))
        assert b"".join(marked.stream(stream=stream, gaps="mark")) == expected
    assert b"bytes dropped]\n" in result.stdout
    with pytest.raises(jobrunner.OffsetInGap) as raised:
        list(marked.stream())
    (gap,) = (each for each in marked.records() if isinstance(each, jobrunner.Gap))
    assert (gap.start, gap.end) == raised.value.gap == tuple(result.job.output.gaps[0])
    after = b"".join(marked.stream(offset=gap.end))
    assert len(after) == result.job.output.bytes - gap.end


def test_what_is_there_now_is_read_without_waiting(client, gate: Gate):
    job = client.submit({"CommandLine": f"echo one; read -r _ < {gate}"})
    with job.stream() as output:
        next(output)
    assert list(job.stream(follow=False)) == [b"one\n"]
    assert [record.data for record in job.records(follow=False)] == [b"one\n"]
    assert list(job.lines(follow=False, offset=-2)) == [b"e"]
    gate.open()


def test_a_kill_returns_the_receipt_and_a_finished_job_has_none(client):
    job = client.submit({"CommandLine": "trap '' TERM; sleep 1000 & sleep 1000"})
    receipt = job.kill(signal="INT", grace=0.1)
    assert receipt.signals[0] == "SIGINT"
    assert receipt.verified_gone
    assert client.job(client.run("true").job.id).kill() is None
    with pytest.raises(jobrunner.UnknownJob):
        client.job("no-such-job").kill()


def test_a_wait_has_a_timeout(client, gate: Gate):
    job = client.submit({"CommandLine": f"read -r _ < {gate}"})
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.05)
    gate.open()


def test_lists_go_over_pages(client, monkeypatch):
    monkeypatch.setattr(requests, "PAGE", 2)
    for n in range(5):
        client.submit({"CommandLine": f"exit {n % 2}", "Labels": {"list": "pages"}}).wait()
    found = list(client.jobs(state="all", label="list=pages"))
    assert [job.view.exit_code for job in found] == [0, 1, 0, 1, 0]
    failed = client.jobs(label={"list": "pages"}, exit_code="nonzero", order="newest")
    assert [job.view.id for job in failed] == [found[3].id, found[1].id]


def test_a_unix_socket_is_an_address(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("u")  # the address of a socket is short: unix(7)
    path = place / "a socket"
    service = Service(place / "jobrunner", "--unix", str(path))
    try:
        service.wait_for_line("worker_ready")
        with jobrunner.Client(f"unix://{path}") as client:
            assert client.run("echo over a socket").stdout == b"over a socket\n"
    finally:
        service.close()


def test_without_a_service_the_error_says_what_to_do():
    with jobrunner.Client("http://127.0.0.1:1", timeout=0.1) as client:
        with pytest.raises(jobrunner.ServiceUnreachable, match="jobrunner serve"):
            client.run("true")
