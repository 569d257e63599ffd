"""Counting together: each worker in a slot of its own, which outlives it, and which the next goes on with."""

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.api.description import document
from service.api.routes import ROUTES
from service.jobs.states import State
from service.metrics import shared
from service.metrics.exposition import Stored, exposition
from service.metrics.series import Metrics

NOTHING = Stored(dict.fromkeys(State, 0), 0)
# A worker: takes a slot, does as it is told line by line, and says when it has.
WORKER = """\
import sys
from pathlib import Path
from service.metrics.series import Metrics
from service.metrics.shared import WorkerSlot
metrics = Metrics(WorkerSlot(Path(sys.argv[1])))
print("ready", flush=True)
for line in sys.stdin:
    verb, *words = line.split()
    getattr(metrics, verb)(*words)
    print("done", flush=True)
"""


class Worker:
    def __init__(self, state_dir):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, state_dir],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def do(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def state_dir(tmp_path):
    shared.prepare(tmp_path)
    yield tmp_path
    shared.remove(tmp_path)


@pytest.fixture
def take(state_dir):
    """Takes slots, as workers of this process."""
    with contextlib.ExitStack() as stack:

        def take_one():
            slot = shared.WorkerSlot(state_dir)
            stack.callback(slot.close)
            return slot

        yield take_one


@pytest.fixture
def mine(take):
    return Metrics(take())


@pytest.fixture
def start(state_dir):
    started = []

    def start_one():
        started.append(Worker(state_dir))
        return started[-1]

    yield start_one
    for worker in started:
        if worker.process.returncode is None:
            worker.close()


def numbers(metrics, accept=""):
    text, _ = exposition(metrics, NOTHING, accept)
    pairs = (line.rpartition(" ") for line in text.decode().splitlines() if line[:1] != "#")
    return {name: float(number) for name, _, number in pairs}


def files(state_dir):
    return sorted(path.name for path in (state_dir / "metrics").readlink().iterdir())


def test_each_worker_shows_the_sum_of_all(state_dir, mine, start):
    others = [start(), start()]
    mine.submitted()
    for worker in others:
        worker.do("submitted")
        worker.do("attached", "text")
    assert numbers(mine)["jobrunner_jobs_submitted_total"] == 3
    assert numbers(mine)['jobrunner_attached_readers{format="text"}'] == 2


def test_what_a_killed_worker_counted_stays_and_what_it_had_open_goes(state_dir, mine, start):
    worker = start()
    worker.do("submitted")
    worker.do("attached", "text")
    mine.attached("text")
    worker.kill()
    assert numbers(mine)["jobrunner_jobs_submitted_total"] == 1
    assert numbers(mine)['jobrunner_attached_readers{format="text"}'] == 1


def test_who_comes_after_a_killed_worker_goes_on_with_its_numbers(state_dir, mine, start):
    before = None
    for deaths in range(1, 4):
        worker = start()
        worker.do("submitted")
        worker.do("attached", "text")
        assert numbers(mine)["jobrunner_jobs_submitted_total"] == deaths
        assert numbers(mine)['jobrunner_attached_readers{format="text"}'] == 1
        before = before or files(state_dir)
        assert files(state_dir) == before
        worker.kill()


def test_a_slot_is_one_workers_alone_until_it_leaves(state_dir, take):
    for _ in range(2):
        take()
    left = shared.WorkerSlot(state_dir)
    left.close()
    take()
    locks = [name for name in files(state_dir) if name.endswith(".lock")]
    assert locks == ["0.lock", "1.lock", "2.lock"]


def test_the_directory_is_nobody_elses_and_goes_with_the_service(tmp_path):
    shared.prepare(tmp_path)
    first = (tmp_path / "metrics").readlink()
    shared.WorkerSlot(tmp_path).close()
    assert first.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in first.iterdir()} == {0o600}
    shared.prepare(tmp_path)  # as after a kill -9 of all
    second = (tmp_path / "metrics").readlink()
    assert not first.exists()
    assert list(second.iterdir()) == []
    shared.remove(tmp_path)
    assert not second.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_elsewhere_costs_nobody_a_file(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "metrics").symlink_to(precious)
    shared.remove(tmp_path)
    assert precious.is_dir()
    assert not (tmp_path / "metrics").is_symlink()


def test_without_a_directory_there_is_nothing_to_share_and_a_worker_counts_alone(tmp_path):
    with pytest.raises(shared.NotShared):
        shared.WorkerSlot(tmp_path)
    alone = Metrics()
    alone.submitted()
    assert numbers(alone)["jobrunner_jobs_submitted_total"] == 1
    assert numbers(Metrics())["jobrunner_jobs_submitted_total"] == 0


def test_without_room_for_its_files_there_is_nothing_to_share(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "_MEMORY", str(tmp_path / "no such place"))
    shared.prepare(tmp_path)
    assert (tmp_path / "metrics").readlink().parent == tmp_path  # in the state directory, then
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 << 10, hard))
    try:
        with pytest.raises(shared.NotShared):
            shared.WorkerSlot(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_every_answer_there_can_be_fits_into_the_room_allocated(state_dir, mine):
    for path, methods in document(ROUTES)["paths"].items():
        for method, operation in methods.items():
            for status in (*operation["responses"], "none"):
                mine.responded(method.upper(), path, status, 0.1)
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "none"):
        for status in (400, 404, 405, 408, 413, 417, 500, 503, "none"):
            mine.responded(method, "none", str(status), 0.1)
    (file,) = (state_dir / "metrics").readlink().glob("histogram_*.db")
    assert file.stat().st_size == shared._SIZES["histogram"]
    assert file.stat().st_blocks * 512 >= shared._SIZES["histogram"]  # no page is missing


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        ("text/plain;version=nonsense", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=1.x;q=2", "text/plain; version=0.0.4"),
    ],
)
def test_the_format_is_the_one_asked_for(mine, accept, content_type):
    text, given = exposition(mine, NOTHING, accept)
    assert given.startswith(content_type)
    assert (b"# EOF" in text) == ("openmetrics" in given)


def test_every_name_begins_with_that_of_the_service(mine):
    mine.responded("GET", "/", "200", 0.1)
    assert all(re.match(r"jobrunner_[a-z_]+(\{|$)", name) for name in numbers(mine))


def test_files_are_in_memory_where_there_is_some(state_dir):
    where = (state_dir / "metrics").readlink()
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm")
    assert where.parent == Path("/dev/shm")
