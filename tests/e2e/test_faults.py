"""What is promised when something dies, shown by killing it under more than 50 live jobs.

Whatever dies, jobs run on, readers go on at their offset, and no record lies: at the end of each
test every byte and every exit code is compared with what the processes wrote and how they ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem, every_id
from crowd import Crowd, Numbered, Reader
from gates import lines
from running import RELOADABLE, Service, again, running
from watching import Watched, of_jobs

import service as service_package
from service.link.frames import Frames, encode
from service.link.launch import start
from service.link.protocol import PROTOCOL
from service.output.index import HEADER_BYTES, LogState

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Lines that make more than 100 MB, of 12 bytes each: no buffer on the way to the disk has so much.
MUCH = 9_000_000


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    with Crowd(tmp_path) as crowd:
        yield crowd


def attach(service: Service, crowd: Crowd) -> list[Reader]:
    """Readers of all jobs that write now, each with its first bytes."""
    readers = [Reader(service, job) for job in crowd.jobs]
    crowd.turn()
    for reader in readers:
        reader.wait_for_bytes()
    return readers


# A worker


def test_a_killed_workers_jobs_go_to_another_and_its_readers_resume(state_dir: Path, crowd: Crowd):
    with running(state_dir, workers=2) as service:
        crowd.submit(service)
        readers = attach(service, crowd)
        victim, other = service.worker_pids()
        theirs = [reader for reader in readers if reader.is_served_by(victim)]
        others = [reader for reader in readers if reader not in theirs]
        crowd.turn()
        os.kill(victim, signal.SIGKILL)

        adopted = service.wait_for_line("job_taken_over")
        job = next(job for job in crowd.jobs if job.id in adopted)
        job.end_all()
        job.check(service)
        assert service.worker_pids() == [victim, other]  # it didn't wait for a new worker
        service.wait_for_line("worker_ready", 3)

        resumed = [reader.resume(service) for reader in theirs]
        crowd.jobs.remove(job)
        job.close()
        crowd.finish(service)
        for reader in (*others, *resumed):
            reader.check()


# Every service process but the supervisor


@pytest.mark.parametrize("how", ["killed", "left"])
def test_jobs_run_on_without_a_service_and_the_next_one_takes_them_up(
    state_dir: Path, crowd: Crowd, how: str
):
    live = list(crowd.jobs)
    pending = [crowd.add() for _ in range(5)]
    settings = {"JOBRUNNER_MAX_RUNNING": str(len(live)), "JOBRUNNER_SHUTDOWN": "leave"}
    with running(state_dir, workers=2, environment=settings) as service:
        crowd.submit(service)
        assert [service.show(job.id)["State"] for job in pending] == ["pending"] * 5
        readers = [Reader(service, job) for job in crowd.jobs]
        crowd.turn()
        for reader in readers[: len(live)]:
            reader.wait_for_bytes()
        if how == "killed":
            service.crash()
        else:
            assert service.stop() == 0
        assert all(reader.wait_ended().was_cut for reader in readers)

        # Only the supervisor lives: nobody is held up by that, and whoever ends is remembered.
        much, *ending = live[:11]
        much.turn(MUCH if how == "killed" else None)
        much.wait_written()
        with Watched(
            of_jobs(job.id for job in (*ending, *crowd.sequences)), some_ended=True
        ) as processes:
            for job in (*ending, *crowd.sequences):
                job.end()
            processes.wait_gone()

        with again(service) as successor:
            resumed = [reader.resume(successor) for reader in readers]
            crowd.finish(successor)
            for reader in resumed:
                reader.check()


# The end of the service


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopping_service_ends_every_job_and_itself(
    state_dir: Path, tmp_path: Path, crowd: Crowd, number: int
):
    with running(state_dir, workers=2) as service:
        stubborn = service.submit(
            "trap '' TERM; (trap '' TERM; sleep 1000) & echo ready; wait; wait"
        )
        assert lines(service, stubborn, 1) == ["ready"]
        crowd.submit(service)
        readers = attach(service, crowd) + [Reader(service, job) for job in crowd.jobs]
        assert len(readers) >= 100
        crowd.turn()
        everybody = [stubborn, *(job.id for job in crowd.jobs)]
        watched = [*of_jobs(everybody), service.supervisor_pid()]
        with Watched(watched, some_ended=True) as processes:
            # Ctrl-C goes to all processes of the terminal's foreground.
            send = os.killpg if number == signal.SIGINT else os.kill
            send(service.process.pid, number)
            assert service.stop(0) == 0, "\n".join(service.lines)
            assert processes.alive() == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            probe.bind(("127.0.0.1", service.port))
        for reader in readers:
            assert reader.wait_ended().was_cut

        with again(service) as successor:
            for job in crowd.jobs:
                job.check_killed(successor, "shutdown")
            assert successor.show(stubborn)["Kill"]["Escalated"]


@pytest.mark.parametrize("cgroup", ["auto", "off"])
def test_hundreds_of_jobs_end_with_the_service_and_none_of_them_by_force(
    state_dir: Path, cgroup: str
):
    settings = {"JOBRUNNER_CGROUP": cgroup, "JOBRUNNER_MAX_RUNNING": "300"}
    with running(state_dir, environment=settings) as service:
        jobs = [service.submit("echo here; exec sleep 1000") for _ in range(300)]
        for job in jobs:
            assert lines(service, job, 1) == ["here"]
        assert service.stop() == 0, "\n".join(service.lines)
    with again(service) as successor:
        views = [successor.show(job) for job in jobs]
        assert {(v["State"], v["Reason"], v["Kill"]["Escalated"]) for v in views} == {
            ("killed", "shutdown", False)
        }


# The supervisor


@pytest.mark.parametrize("cgroup", ["auto", "off"])
def test_a_killed_supervisors_jobs_are_lost_and_the_next_one_serves(
    state_dir: Path, crowd: Crowd, cgroup: str
):
    settings = {"JOBRUNNER_CGROUP": cgroup, "JOBRUNNER_MAX_RUNNING": str(len(crowd.jobs) + 1)}
    with running(state_dir, workers=2, environment=settings) as service:
        crowd.submit(service)
        strays = service.submit(
            "setsid sleep 1000 & (setsid nohup sleep 1000 &) ; echo ready; wait"
        )
        assert lines(service, strays, 1) == ["ready"]
        pending = [crowd.add() for _ in range(3)]
        lost = [job for job in crowd.jobs if job not in pending]
        crowd.submit(service)
        readers = [Reader(service, job) for job in lost]
        crowd.turn()
        for reader in readers:
            reader.wait_for_bytes()
        processes = of_jobs([strays, *(job.id for job in lost)])
        assert list(processes.values()).count(strays) >= 3
        first = service.supervisor_pid()
        with Watched(processes, some_ended=True) as processes:
            os.kill(first, signal.SIGKILL)
            for job in lost:
                job.check_killed(service, "lost")
            assert service.wait(strays)["Reason"] == "lost"
            assert processes.alive() == []
        assert service.supervisor_pid() != first
        for reader in readers:
            reader.wait_ended()
            assert bytes(reader.received) == reader.job.stored(service)
        for job in pending:
            job.end_all()
            job.check(service)
        new = crowd.add()
        crowd.submit(service)
        new.turn()
        new.end_all()
        new.check(service)


# Everything at once


def test_after_a_reboot_live_jobs_are_lost_pending_ones_run_and_torn_logs_are_mended(
    state_dir: Path, crowd: Crowd
):
    lost = list(crowd.jobs)
    pending = [crowd.add() for _ in range(5)]
    with running(
        state_dir, workers=2, environment={"JOBRUNNER_MAX_RUNNING": str(len(lost))}
    ) as service:
        crowd.submit(service)
        readers = [Reader(service, job) for job in lost]
        crowd.turn()
        for reader in readers:
            reader.wait_for_bytes()
        with Watched(of_jobs(job.id for job in lost), some_ended=True) as processes:
            with Watched([service.supervisor_pid()]) as supervisor:
                supervisor.signal(signal.SIGKILL)
                service.crash()
                supervisor.wait_gone()
            torn, ahead, behind = lost[:3]
            with index_of(service, torn).open("ab") as index:
                index.write(b"1234567")
            shift_header(index_of(service, ahead), 100)
            shift_header(index_of(service, behind), -1)

            with again(service) as successor:
                for job in lost:
                    job.check_killed(successor, "lost")
                    assert not successor.show(job.id)["Output"]["Complete"]
                assert processes.alive() == []
                for job in pending:
                    job.end_all()
                    job.check(successor)
                for reader in readers:
                    assert reader.job.stored(successor).startswith(reader.received)
                log = (state_dir / "supervisor.log").read_text().splitlines()
                mended = [json.loads(line) for line in log if "log_repaired" in line]
                said = {repair["job"]: repair["repair"] for repair in mended}
                assert said[torn.id] == "a record was torn: 7 bytes of it cut"
                assert said[ahead.id] == "100 bytes that were announced are missing"
                assert said[behind.id] == "1 bytes beyond the header's end belong to the last run"


def index_of(service: Service, job: Numbered) -> Path:
    return service.state_dir / "logs" / job.id / "runs"


def shift_header(index: Path, count: int) -> None:
    """Have it announce `count` bytes more than there are."""
    with index.open("r+b", buffering=0) as file:
        state = LogState.unpack(file.read(HEADER_BYTES))
        file.seek(0)
        file.write(state._replace(end=state.end + count, stdout_end=state.end + count).pack())


# The disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of the test's own."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128m", "jobrunner-test", path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"mount(8) isn't permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_when_the_disk_is_full_jobs_wait_and_go_on_byte_for_byte(disk: Path, crowd: Crowd):
    with running(disk / "jobrunner", workers=2) as service:
        crowd.submit(service)
        readers = attach(service, crowd)
        killed, *ended = crowd.jobs[:6]
        ballast = fill(disk)

        assert_problem(service.client.post("/", json={"CommandLine": "true"}), 507)
        problem = assert_problem(service.client.get("/health/ready"), 503)
        assert "bytes left" in problem["detail"]
        assert "bytes left" in problem["checks"]["room"]["Why"]
        assert problem["checks"]["supervisor"] == {"Ok": True, "Why": None}
        crowd.turn()
        with Watched(of_jobs([killed.id]), some_ended=True) as processes:
            service.kill(killed.id, grace=0)  # it acts, though it can't be recorded
            processes.wait_gone()
        for job in ended:
            job.end_all()

        ballast.unlink()
        killed.check_killed(service, "requested")
        crowd.jobs.remove(killed)
        killed.close()
        assert service.client.get("/health/ready").status_code == 200
        crowd.finish(service)
        for reader in readers:
            if reader.job is not killed:
                reader.check()


def fill(disk: Path) -> Path:
    """Take all the room there is; the file that has it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 20)) == 1 << 20:
            continue
        while file.write(bytes(1 << 12)):
            continue
    return ballast


# A connection that dies before the answer


def test_a_retry_with_the_same_key_finds_the_one_job_even_after_a_workers_death(
    state_dir: Path, crowd: Crowd
):
    with running(state_dir, workers=2) as service:
        half = len(crowd.jobs) // 2
        for job in crowd.jobs[:half]:
            post_and_hang_up(service, job)
        victim, _ = service.worker_pids()
        os.kill(victim, signal.SIGSTOP)  # so that some of them are in the middle of it
        for job in crowd.jobs[half:]:
            post_and_hang_up(service, job)
        os.kill(victim, signal.SIGKILL)
        service.wait_for_line("worker_ready", 3)

        for job in crowd.jobs:
            job.id = service.submit(job.submission(), **{"Idempotency-Key": key_of(job)})
        assert sorted(every_id(service)) == sorted(job.id for job in crowd.jobs)
        crowd.finish(service)


def key_of(job: Numbered) -> str:
    return job.submission()["Name"]


def post_and_hang_up(service: Service, job: Numbered) -> None:
    body = json.dumps(job.submission()).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key_of(job)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode() + body)


# Reloading the workers


def test_reloaded_workers_hand_their_jobs_over_and_their_readers_resume(
    state_dir: Path, tmp_path: Path, crowd: Crowd
):
    with running(state_dir, workers=2, **RELOADABLE) as service:
        crowd.submit(service)
        readers = attach(service, crowd)
        crowd.turn()
        with Watched(service.worker_pids()) as workers:
            assert service.client.post("/restart-all").status_code == 200
            resumed = [reader.resume(service) for reader in readers]
            service.wait_for_line("worker_ready", 4)
            assert workers.alive() == []
        readers = [r.resume(service) if r.was_cut else r for r in resumed]
        crowd.finish(service)
        for reader in readers:
            reader.check()


# Replacing the supervisor


def upgrade(service: Service) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", "supervisor", "upgrade"],
        env={"JOBRUNNER_STATE_DIR": str(service.state_dir)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An installation of the test's own, where the interpreter finds it first."""
    site = tmp_path / "site"
    shutil.copytree(Path(service_package.__file__).parent, site / "service")
    return site


def install(site: Path, version: str) -> None:
    """This release under another number."""
    module = site / "service" / "__init__.py"
    text = module.read_text()
    present = f'__version__ = "{service_package.__version__}"'
    assert present in text
    module.write_text(text.replace(present, f'__version__ = "{version}"'))


def test_an_upgraded_supervisor_goes_on_in_the_middle_of_everything(
    state_dir: Path, site: Path, crowd: Crowd
):
    live = list(crowd.jobs)
    for _ in range(5):
        crowd.add()  # pending, for want of a slot
    settings = {"PYTHONPATH": str(site), "JOBRUNNER_MAX_RUNNING": str(len(live) + 3)}
    with running(state_dir, workers=2, environment=settings) as service:
        deaf = "trap '' TERM; echo ready; while :; do read -r -t 1 _ < <(:); wait; done"
        dying = [service.submit(deaf) for _ in range(2)]
        late = service.submit({"CommandLine": deaf, "Timeout": 3, "Grace": 1})
        for job_id in (*dying, late):
            assert lines(service, job_id, 1) == ["ready"]
        crowd.submit(service)
        readers = [Reader(service, job) for job in crowd.jobs]
        crowd.turn()
        for reader in readers[: len(live)]:
            reader.wait_for_bytes()
        for job_id in dying:
            service.kill(job_id, grace=2)
        supervisor = service.supervisor_pid()
        install(site, "99.0")
        crowd.turn()
        for job in live[5:15]:
            job.end()

        done = upgrade(service)
        assert done.returncode == 0, done.stderr
        assert upgrade(service).returncode == 0  # and once more, by the one that took over
        log = (state_dir / "supervisor.log").read_text()
        resumed = [json.loads(line) for line in log.splitlines() if "resumed" in line]
        assert (resumed[0]["pid"], resumed[0]["version"]) == (supervisor, "99.0")

        crowd.finish(service)
        for reader in readers:
            reader.check()
        assert service.supervisor_pid() == supervisor
        for job_id in (*dying, late):
            view = service.wait(job_id)
            assert view["State"] == "killed"
            assert view["Kill"]["Escalated"]
            assert view["Kill"]["VerifiedGone"]
        assert view["Reason"] == "timeout"
        assert service.wait(dying[0])["Reason"] == "requested"


def test_a_supervisor_stays_as_it_is_when_the_new_code_cannot_take_over(
    state_dir: Path, site: Path, crowd: Crowd
):
    with running(state_dir, workers=2, environment={"PYTHONPATH": str(site)}) as service:
        crowd.submit(service)
        readers = attach(service, crowd)
        supervisor = service.supervisor_pid()
        install(site, "99.0")
        for broken in ("raise ImportError('half installed')", "import sys; sys.exit(1)"):
            crowd.turn()
            (site / "service" / "supervisor" / "__main__.py").write_text(broken)
            refused = upgrade(service)
            assert refused.returncode == 1
            assert "can't take over" in refused.stderr

        crowd.finish(service)
        for reader in readers:
            reader.check()
        assert service.supervisor_pid() == supervisor
        assert "resumed" not in (state_dir / "supervisor.log").read_text()


def test_an_upgrade_that_ends_the_supervisor_is_no_success(state_dir: Path, site: Path):
    """The new code passes its trial, and fails at what no trial shows."""
    with running(state_dir, workers=2, environment={"PYTHONPATH": str(site)}) as service:
        job_id = service.submit("exec sleep 1000")
        module = site / "service" / "supervisor" / "upgrade.py"
        module.write_text(module.read_text() + "\n\ndef resume(memory):\n    raise SystemExit(1)\n")
        failed = upgrade(service)
        assert failed.returncode == 1
        assert failed.stderr.startswith("jobrunner: ")
        assert failed.stdout == ""
        assert service.wait(job_id)["Reason"] == "lost"
        assert service.run("true")["ExitCode"] == 0


# Other versions on the other side of the socket


class Peer:
    """One end of the supervisor's protocol, spoken by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = Frames()
        self._messages: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.connection.sendall(encode(message))

    def receive(self, kind: str) -> dict[str, Any]:
        """The next message of this kind; others before it are passed over."""
        return next(m for m in self.messages() if m["type"] == kind)

    def messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while self._messages:
                yield self._messages.pop(0)
            data = self.connection.recv(1 << 16)
            assert data, "the other side hung up"
            self._messages += self._frames.feed(data)


def test_an_older_worker_and_words_of_a_newer_one_disturb_nothing(state_dir: Path, crowd: Crowd):
    with running(state_dir, workers=2) as service:
        crowd.submit(service)
        readers = attach(service, crowd)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(state_dir / "supervisor.sock"))
            peer = Peer(connection)
            assert peer.receive("hello")["protocol"] == PROTOCOL
            peer.send(
                type="hello",
                protocol=PROTOCOL,
                role="worker",
                pid=1,
                max_running=1000,
                max_pending=0,
            )
            peer.send(type="frobnicate", request_id=1, job=crowd.jobs[0].id)
            assert peer.receive("rejected")["request_id"] == 1
            peer.send(
                type="claim", request_id=2, job="00000000-0000-4000-8000-000000000000", colour="red"
            )
            assert peer.receive("reply") == {
                "type": "reply",
                "request_id": 2,
                "ok": True,
                "has_slot": True,
            }
        # Its claim went to a worker, which finds no record of it.
        crowd.finish(service)
        for reader in readers:
            reader.check()
        service.stop()
        log = (state_dir / "supervisor.log").read_text()
        assert "connection_dropped" not in log


@pytest.mark.parametrize("jobs", [[], ["00000000-0000-4000-8000-000000000000"]])
def test_an_older_supervisor_is_replaced_only_when_it_is_idle(
    state_dir: Path, crowd: Crowd, jobs: list[str]
):
    state_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state_dir / "supervisor.sock"))
        listener.listen()
        said: list[str] = []
        worker: list[Peer] = []
        serving = threading.Thread(target=serve_as_of_old, args=(listener, jobs, said, worker))
        serving.start()
        with running(state_dir) as service:
            if jobs:
                # It is driven as any other: it gets claims.
                posted = threading.Thread(target=crowd.submit, args=(service,))
                posted.start()
            serving.join()
            listener.close()
            (peer,) = worker
            peer.connection.close()
            if jobs:
                posted.join()
            else:
                service.wait_for_line("supervisor_connected", 2)
                crowd.submit(service)
            assert ("exit_if_idle" in said) is not jobs
            crowd.finish(service)


def serve_as_of_old(
    listener: socket.socket, jobs: list[str], said: list[str], worker: list[Peer]
) -> None:
    """A supervisor of an older release, until the first message that tells what it is taken for."""
    while True:
        peer = Peer(listener.accept()[0])
        peer.send(
            type="hello",
            protocol=PROTOCOL,
            version="0.0.1",
            nonce="old",
            upgrades=0,
            pid=1,
            capabilities=[],
            unsupported_limits={},
            jobs=jobs,
        )
        with contextlib.suppress(AssertionError, OSError):  # a probe, which goes away at once
            for message in peer.messages():
                said.append(message["type"])
                if message["type"] in ("exit_if_idle", "claim"):
                    worker.append(peer)
                    return
        peer.connection.close()


def test_a_job_whose_recovery_was_cut_short_is_not_run_again(state_dir: Path, crowd: Crowd):
    with running(state_dir) as service:
        crowd.submit(service)
        crowd.turn()
        for job in crowd.jobs:
            job.wait_written()
        os.kill(service.supervisor_pid(), signal.SIGKILL)
        service.crash()

    # A worker of the next start claims what is live, and dies.
    start(state_dir, cgroup="auto")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(state_dir / "supervisor.sock"))
        peer = Peer(connection)
        peer.receive("hello")
        peer.send(
            type="hello", protocol=PROTOCOL, role="worker", pid=1, max_running=1000, max_pending=0
        )
        for number, job in enumerate(crowd.jobs):
            peer.send(type="claim", request_id=number, job=job.id, stored=True)
            assert peer.receive("reply")["ok"]
        with again(service) as successor:
            connection.close()
            for job in crowd.jobs:
                job.check_killed(successor, "lost")
            assert of_jobs(job.id for job in crowd.jobs) == {}
