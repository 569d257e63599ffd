"""A supervisor that lives and can't be reached is found, and there are never two that spawn."""

import contextlib
import ctypes
import os
import signal
import socket
import threading
import time

import pytest

from service.host.locks import holders, lock_within, named_in, open_lock, try_lock
from service.link.launch import Starting, SupervisorFailed, reach, start
from service.paths import StateDir
from service.supervisor.process.marks import mark_of


@pytest.fixture
def ready(fifo):
    return fifo()


@pytest.fixture
def go(fifo):
    return fifo()


@pytest.fixture
def busy(start_supervisor, ready, go):
    """A supervisor with a job that waits for `go`, and its client."""
    supervisor = start_supervisor("--cgroup", "off")
    client = supervisor.connect()
    client.run("job", f"echo > {ready}; read < {go}; echo done")
    ready.line()
    return supervisor, client


def others(state_dir, pid):
    """Supervisors and candidates of the directory beside this one."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != pid:
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if b"service.supervisor" in words and os.fsencode(state_dir) in words:
                found.append(int(name))
    return found


def is_alone(state_dir, pid, new_pid):
    """A candidate that has found it leaves; then nobody is there beside it."""
    for other in others(state_dir, pid):
        with contextlib.suppress(ProcessLookupError):
            new_pid(other).wait()
    return others(state_dir, pid) == [] and holders(state_dir) == [pid]


def socket_removed(state_dir):
    (state_dir / "supervisor.sock").unlink()


def socket_replaced_by_a_file(state_dir):
    (state_dir / "supervisor.sock").unlink()
    (state_dir / "supervisor.sock").write_text("")


def socket_replaced_by_a_directory(state_dir):
    (state_dir / "supervisor.sock").unlink()
    (state_dir / "supervisor.sock").mkdir()


def socket_replaced_by_a_dead_one(state_dir):
    (state_dir / "supervisor.sock").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(state_dir / "supervisor.sock"))


def lock_file_removed(state_dir):
    (state_dir / "supervisor.lock").unlink()
    (state_dir / "supervisor.sock").unlink()


def all_files_removed(state_dir):
    for path in state_dir.glob("supervisor.*"):
        if path.name != "supervisor.log":
            path.unlink()


@pytest.mark.parametrize(
    "sabotage",
    [
        socket_removed,
        socket_replaced_by_a_file,
        socket_replaced_by_a_directory,
        socket_replaced_by_a_dead_one,
        lock_file_removed,
        all_files_removed,
    ],
)
def test_one_whose_files_were_taken_away_puts_them_back(busy, state_dir, go, new_pid, sabotage):
    supervisor, client = busy
    sabotage(state_dir)
    start(state_dir, cgroup="off")
    assert is_alone(state_dir, supervisor.process.pid, new_pid)
    assert "supervisor_signalled" in supervisor.log
    again = supervisor.connect()
    assert again.hello["nonce"] == client.hello["nonce"]
    go.go()
    assert client.event("job", "finished")["outcome"] == "exited"
    # It can be done again, also by the code that it becomes.
    assert again.request("upgrade")["ok"]
    assert again.hung_up()
    sabotage(state_dir)
    start(state_dir, cgroup="off")
    assert supervisor.connect().hello["upgrades"] == 1


def test_a_stopped_one_is_woken_and_its_jobs_run_on(busy, state_dir, go, new_pid):
    supervisor, client = busy
    os.kill(supervisor.process.pid, signal.SIGSTOP)
    start(state_dir, cgroup="off", silent_s=5)
    assert is_alone(state_dir, supervisor.process.pid, new_pid)
    go.go()
    assert client.event("job", "finished")["outcome"] == "exited"
    assert client.output("job") == b"done\n"


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207  # Source: linux/ptrace.h


@pytest.fixture
def held(busy):
    """The supervisor hangs: stopped by a tracer, it goes on for no signal, and only KILL ends it."""
    supervisor, _ = busy
    pid = supervisor.process.pid
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        assert ptrace(request, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    assert os.WIFSTOPPED(os.waitpid(pid, 0)[1])
    yield supervisor
    if supervisor.process.poll() is None:
        ptrace(PTRACE_DETACH, pid, None, None)


def test_one_that_stays_silent_is_replaced_and_its_jobs_are_ended(
    held, state_dir, new_pid, start_supervisor
):
    job = new_pid(next(int(p) for p in os.listdir("/proc") if is_marked(p, state_dir)))
    try:
        start(state_dir, cgroup="off", silent_s=1)
        assert held.process.wait(300) == -signal.SIGKILL
        job.wait()
        (successor,) = others(state_dir, held.process.pid)
        assert holders(state_dir) == [successor]
        assert "supervisor_replaced" in held.log
    finally:
        for pid in holders(state_dir):
            if pid != held.process.pid:
                process = new_pid(pid)
                process.kill()
                process.wait()


def is_marked(pid, state_dir):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"JOBRUNNER_STATE={mark_of(state_dir)}".encode() in file.read().split(b"\0")
    except (OSError, ValueError):
        return False


def test_many_who_find_it_unreachable_start_one_candidate_at_a_time(busy, state_dir, new_pid):
    supervisor, _ = busy
    os.kill(supervisor.process.pid, signal.SIGSTOP)
    (state_dir / "supervisor.sock").unlink()
    failures = []
    ended = threading.Event()

    def begin():
        try:
            start(state_dir, cgroup="off", silent_s=20)
        except SupervisorFailed as exc:
            failures.append(exc)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    candidates = set()
    while any(thread.is_alive() for thread in threads):
        pid = named_in(StateDir(state_dir).start_lock)
        candidates |= {pid} - {None}
        ended.wait(0.02)
    assert failures == []
    assert len(candidates) >= 1
    assert is_alone(state_dir, supervisor.process.pid, new_pid)
    # Each began when the one before had left.
    assert supervisor.log.count("supervisor_signalled") == 1
    assert supervisor.log.count("supervisor_exists") == 4


def test_a_candidate_that_hangs_is_ended_by_the_next_one(state_dir, monkeypatch, new_pid):
    """Its starter is dead, and it holds the lock of those that start."""
    state_dir.mkdir()
    from service.link import launch

    waited = []

    def is_free(descriptor, seconds):
        waited.append(seconds)
        return len(waited) > 1 and lock_within(descriptor, seconds)  # the first time is over

    monkeypatch.setattr(launch, "lock_within", is_free)
    try:
        first = launch.Starting(state_dir, cgroup="off")
        lock = StateDir(state_dir).start_lock
        while (pid := named_in(lock)) is None:
            assert first._candidate._process.poll() in (None, 0)
            if (state_dir / "supervisor.sock").exists():
                pytest.skip("it was faster, and serves")
        process = new_pid(pid)
        signal.pidfd_send_signal(process.descriptor, signal.SIGSTOP)
        if named_in(lock) is None:
            pytest.skip("it was faster, and serves")
        start(state_dir, cgroup="off")
        process.wait()
        assert waited == [launch._START_S, launch._ENDED_S]
    finally:
        for pid in holders(state_dir):
            process = new_pid(pid)
            process.kill()
            process.wait()
        first._candidate._process.wait(300)
        os.close(first._candidate._ours)


def test_a_candidate_has_its_whole_time_whoever_was_started_before_it(
    state_dir, monkeypatch, new_pid
):
    """On a busy machine several of them take longer than one may."""
    from service.link import launch

    state_dir.mkdir()
    lock = open_lock(StateDir(state_dir).start_lock)
    assert try_lock(lock)
    candidates, waited, ended = iter([1, 2, 3]), [], []

    def is_free(descriptor, seconds):
        waited.append(seconds)
        if len(waited) < 3:
            return False
        os.close(lock)
        return lock_within(descriptor, seconds)

    monkeypatch.setattr(launch, "named_in", lambda _: next(candidates))
    monkeypatch.setattr(launch, "lock_within", is_free)
    monkeypatch.setattr(launch, "end_candidate", ended.append)
    try:
        start(state_dir, cgroup="off")
    finally:
        for pid in holders(state_dir):
            process = new_pid(pid)
            process.kill()
            process.wait()
    assert ended == []
    assert waited == [launch._START_S] * 3


def test_the_last_words_reach_one_that_is_stopped_and_has_no_socket(busy, state_dir, go):
    supervisor, client = busy
    os.kill(supervisor.process.pid, signal.SIGSTOP)
    (state_dir / "supervisor.sock").unlink()
    reach(state_dir, cgroup="off")
    assert supervisor.connect().hello["nonce"] == client.hello["nonce"]
    go.go()
    assert client.event("job", "finished")["outcome"] == "exited"


def test_the_last_words_wait_for_no_candidate_that_waits_for_longer(held, state_dir, new_pid):
    begun = time.monotonic()
    first = Starting(state_dir, cgroup="off", silent_s=1000)
    while (named := named_in(StateDir(state_dir).start_lock)) is None:
        assert time.monotonic() - begun < 300
    candidate = new_pid(named)
    try:
        reach(state_dir, cgroup="off")
        assert time.monotonic() - begun < 300, "it didn't wait for the thousand seconds"
        candidate.wait()
        assert held.process.wait(300) == -signal.SIGKILL
        with pytest.raises(SupervisorFailed):
            first.wait()
    finally:
        for pid in holders(state_dir):
            process = new_pid(pid)
            process.kill()
            process.wait()


# -------------------------------------------------------------------------------------- signals


HARMFUL = sorted(
    signal.valid_signals()
    - {signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM}
    - {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
)


def test_no_signal_but_term_ends_or_stops_it(busy, go, ready, state_dir):
    supervisor, client = busy
    for number in HARMFUL:
        os.kill(supervisor.process.pid, number)
    client.sync()
    look = "import signal; print([n for n in signal.valid_signals() if signal.getsignal(n) not in (signal.SIG_DFL, None)])"
    client.run("after", f"/usr/bin/python3 -c '{look}'")
    client.event("after", "finished")
    # Python's own: INT, and two that it ignores.
    found = client.output("after").decode()
    assert "SIGUSR1" not in found
    assert "SIGTERM" not in found
    go.go()
    assert client.event("job", "finished")["outcome"] == "exited"
    for job in ("job", "after"):
        client.send("release", job=job)
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    os.kill(supervisor.process.pid, signal.SIGUSR1)
    supervisor.connect()
    os.kill(supervisor.process.pid, signal.SIGTERM)
    assert supervisor.process.wait(300) == 0


# ------------------------------------------------------------------------------ out of memory


def score(pid):
    with open(f"/proc/{pid}/oom_score_adj") as file:
        return int(file.read())


def test_the_kernel_ends_a_job_before_the_supervisor(plain_supervisor, ready, new_pid):
    client = plain_supervisor.connect()
    client.run("job", f"echo $$ > {ready}; exec sleep 1000")
    (process,) = ready.pids(1)
    client.event("job", "started")
    assert score(plain_supervisor.pid) < score(process.number)
    assert client.request("upgrade")["ok"]
    assert client.hung_up()
    client = plain_supervisor.connect()
    client.run("another", f"echo $$ > {ready}; exec sleep 1000")
    (another,) = ready.pids(1)
    client.event("another", "started")
    assert score(another.number) == score(process.number) >= score("self")
