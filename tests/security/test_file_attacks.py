"""What a job does to its files while callers read and write them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from answers import assert_problem
from gates import Gate, lines
from running import Service, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.once]

SECRET = b"secret of the host"
CLIENTS = 8
ROUNDS = 40


@pytest.fixture(scope="module", params=["user", "own"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Jobs run as another user, or as the service's own."""
    place = tmp_path_factory.mktemp("open")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    environment = {}
    if request.param == "user":
        if os.geteuid():
            pytest.skip("only root can have others run")
        environment["JOBRUNNER_RUN_AS"] = "nobody"
    with running(place / "state", workers=2, environment=environment) as service:
        yield service


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host that the job's user can't, and the service can, read and write."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "f").write_bytes(SECRET)
    return outside


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Where the jobs of this test wait."""
    tmp_path.chmod(0o711)
    gate = Gate(tmp_path / "gate")
    (tmp_path / "gate").chmod(0o666)
    yield gate
    gate.close()


SWAP = """
use strict; use POSIX;
my $outside = $ARGV[0];
for my $d ('d', 'e') { mkdir $d; open(my $f, '>', "$d/f"); print $f 'inside'; close $f; }
symlink($outside, 'link'); symlink("$outside/f", 'flink'); symlink('../' x 40, 'up');
symlink('/proc/self/root', 'magic'); symlink('d', 'good');
POSIX::mkfifo('fifo', 0666);
system('mknod null c 1 3 2> /dev/null');
$| = 1; print "ready\\n";
my @swaps = (['d', 'x'], ['link', 'd'], ['d', 'link'], ['fifo', 'd'], ['d', 'fifo'], ['x', 'd'],
    ['e/f', 'e/x'], ['flink', 'e/f'], ['e/f', 'flink'], ['fifo', 'e/f'], ['e/f', 'fifo'],
    ['e/x', 'e/f']);
while (1) { for my $s (@swaps) { rename($s->[0], $s->[1]); } }
"""
PATHS = ["d/f", "e/f", "link/f", "flink", "up", "up/etc/passwd", "magic/etc/passwd", "fifo"]
PATHS += ["null", "d", "", "good/f", "d/%2e%2e/%2e%2e/x"]


def requests(client: httpx.Client, job_id: str, number: int) -> Iterator[httpx.Response]:
    base = f"/{job_id}/files/"
    for turn in range(ROUNDS):
        path = PATHS[(turn + number) % len(PATHS)]
        yield client.get(base + path)
        yield client.put(f"{base}{path or 'p'}", content=b"written %d" % number)
        yield client.get(base, params={"recursive": "true"})
        yield client.delete(f"{base}d/g", params={"recursive": "true"})
        with suppress(httpx.RemoteProtocolError):  # something couldn't be read: it was cut
            yield client.get(base, params={"archive": ("tar", "zip")[turn % 2]})


def test_a_job_that_swaps_all_it_has_leads_no_caller_out_and_holds_none_up(
    service: Service, outside: Path, tmp_path: Path
):
    perl = shutil.which("perl")
    if perl is None:
        pytest.skip("there is no perl")
    script = {"swap.pl": {"Text": SWAP}}
    job: dict[str, Any] = {"CommandLine": f"exec {perl} swap.pl {outside}", "Files": script}
    job_id = service.submit(job)
    assert lines(service, job_id, 1) == ["ready"]
    before = sorted((path, path.stat().st_mtime_ns) for path in outside.parent.rglob("*"))

    def visit(number: int) -> set[int]:
        statuses = set()
        with httpx.Client(base_url=service.url, timeout=60) as client:
            for answer in requests(client, job_id, number):
                assert SECRET not in answer.content
                assert b"root:x:0" not in answer.content
                statuses.add(answer.status_code)
                if answer.status_code >= 400:
                    detail = assert_problem(answer, answer.status_code)["detail"]
                    assert detail.endswith(".")
        return statuses

    with ThreadPoolExecutor(CLIENTS) as clients:
        met = set().union(*clients.map(visit, range(CLIENTS)))
    # Each refusal is one of a caller's: no 5xx.
    assert met <= {200, 201, 204, 400, 403, 404, 409}, met
    assert {200, 403} <= met
    assert sorted((p, p.stat().st_mtime_ns) for p in outside.parent.rglob("*")) == before
    assert (outside / "f").read_bytes() == SECRET
    service.kill(job_id, grace=0, wait="true")
    assert service.client.post(f"/{job_id}/clean").status_code == 200


def test_a_reader_of_a_fifo_is_refused_and_its_writer_hears_nothing(service: Service, gate: Gate):
    line = f"mkfifo p; (echo x > p; echo went on) & echo ready; read -r _ < {gate}"
    job_id = service.submit(line)
    assert lines(service, job_id, 1) == ["ready"]
    assert_problem(service.client.get(f"/{job_id}/files/p"), 409)
    assert service.client.get(f"/{job_id}/files/").json()["Entries"][0]["Type"] == "other"
    assert service.client.get(f"/{job_id}/files/?archive=tar").status_code == 200
    gate.open()
    service.wait(job_id)
    assert service.output(job_id) == b"ready\n"


def test_the_working_directory_itself_may_be_a_link(service: Service, outside: Path, gate: Gate):
    job_id = service.submit(f"mv ../work ../w && ln -s {outside} ../work; read -r _ < {gate}")
    answers = [
        service.client.get(f"/{job_id}/files/f"),
        service.client.put(f"/{job_id}/files/g", content=b"x"),
        service.client.get(f"/{job_id}/files/", params={"archive": "tar"}),
    ]
    for answer in answers:
        assert SECRET not in answer.content
    assert os.listdir(outside) == ["f"]
    gate.open()
    service.wait(job_id)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run")
def test_files_are_those_of_the_jobs_user(service: Service):
    job_id = service.submit({"CommandLine": "id -un; cat in; chmod 0 in", "Hold": True})
    assert service.client.put(f"/{job_id}/files/d/in2", content=b"x").status_code == 201
    assert service.client.put(f"/{job_id}/files/in", content=b"x").status_code == 201
    owner = (service.state_dir / "jobs" / job_id / "work" / "in").stat().st_uid
    parent = (service.state_dir / "jobs" / job_id / "work" / "d").stat().st_uid
    service.client.post(f"/{job_id}/release")
    assert service.wait(job_id)["ExitCode"] == 0
    user = service.output(job_id).split()[0].decode()
    if user == "root":
        assert owner == parent == 0
        assert service.client.get(f"/{job_id}/files/in").content == b"x"  # as root's own
        return
    assert owner == parent != 0
    # Root reads any file; the job's user doesn't read this one.
    assert_problem(service.client.get(f"/{job_id}/files/in"), 403)
    with pytest.raises(httpx.RemoteProtocolError):  # an archive without it isn't whole
        service.client.get(f"/{job_id}/files/", params={"archive": "tar"})


def test_two_uploads_with_the_same_condition_have_one_winner(service: Service):
    job_id = service.submit({"CommandLine": "true", "Hold": True})
    path = f"/{job_id}/files/f"
    etag = service.client.put(path, content=b"0").headers["etag"]
    together = threading.Barrier(CLIENTS)

    def upload(number: int) -> int:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            together.wait()
            answer = client.put(path, content=b"%d" % number, headers={"If-Match": etag})
            return answer.status_code

    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = sorted(clients.map(upload, range(CLIENTS)))
    assert statuses == [200] + [412] * (CLIENTS - 1)
    service.kill(job_id)
