"""Engines on a real supervisor: who drives a job, what is taken over, what is never run twice."""

import asyncio
import contextlib
import hashlib
import os
import select
import signal
import sqlite3
import uuid
from dataclasses import replace
from pathlib import Path

import fifos
import pytest
import structlog

from service.engine.engine import Engine
from service.engine.shutdown import end_all_jobs
from service.errors import IdempotencyKeyReused, InvalidJob, JobIsLive, Unavailable, UnknownJob
from service.jobs.record import CommandOutcome, JobRecord, Kill
from service.jobs.spec import JobSpec
from service.jobs.states import Reason, State
from service.jobs.visibility import ALL
from service.kinds.bash import BashCommand
from service.kinds.settings import read_settings
from service.kinds.stored import encode_spec
from service.output.reader import LogReader
from service.store import Query, Store

FUSE_S = 300


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "state" / "jobs").mkdir(parents=True)
    return read_settings(
        {
            "JOBRUNNER_STATE_DIR": str(tmp_path / "state"),
            "JOBRUNNER_CGROUP": "off",
            "JOBRUNNER_SHUTDOWN_GRACE": "0",
            "JOBRUNNER_MAX_RUNNING": "2",
            "PATH": "/usr/bin:/bin",
        }
    )


@pytest.fixture
async def open_engine(settings):
    """Opens engines, each as a worker of its own would; in the end all jobs are ended."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(end_all_jobs, settings)

        async def open_one(**changed):
            store = Store(settings.state_dir / "jobs.db")
            stack.callback(store.close)
            engine = Engine(replace(settings, **changed), store)
            engine.store = store
            stack.push_async_callback(engine.close)
            async with asyncio.timeout(FUSE_S):
                await engine.open()
            return engine

        yield open_one


class Fifo(fifos.Fifo):
    """One that a job writes to as well."""

    async def line(self):
        """The next line that a job writes; jobs write one each."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(self.descriptor, arrived.set)
        try:
            async with asyncio.timeout(FUSE_S):
                await arrived.wait()
        finally:
            loop.remove_reader(self.descriptor)
        return os.read(self.descriptor, 4096).decode().strip()


@pytest.fixture
def fifo(tmp_path):
    with contextlib.ExitStack() as stack:
        made = []

        def make():
            made.append(Fifo(tmp_path / f"fifo{len(made)}"))
            stack.callback(made[-1].close)
            return made[-1]

        yield make


def spec(*lines, **fields):
    return JobSpec(commands=tuple(BashCommand(command_line=line) for line in lines), **fields)


async def submitted(engine, *lines, **fields):
    return (await engine.submit(spec(*lines, **fields))).id


async def started(engine, job_id):
    """Until its record says so: the job itself may be faster."""
    async with asyncio.timeout(FUSE_S):
        await engine.jobs.wait_started(job_id)


async def ended(engine, job_id):
    async with asyncio.timeout(FUSE_S):
        return await engine.jobs.wait(job_id)


def output(engine, job_id):
    with LogReader.open(engine.jobs.files(job_id).log) as log:
        return log.read(0)


def supervisor_pid(settings):
    return int((settings.state_dir / "supervisor.lock").read_text().split()[1])


def kill_supervisor(settings):
    """With -9, and wait until it is dead."""
    descriptor = os.pidfd_open(supervisor_pid(settings))
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        assert poller.poll(FUSE_S * 1000)
    finally:
        os.close(descriptor)


# --------------------------------------------------------------------------------- the plain way


async def test_commands_run_in_order_and_the_record_tells_how_they_ended(open_engine):
    engine = await open_engine()
    record = await ended(engine, await submitted(engine, "echo one", "echo two; exit 3", "echo no"))
    assert (record.state, record.exit_code) == (State.EXITED, 3)
    assert [o.state for o in record.commands] == [State.EXITED, State.EXITED, State.SKIPPED]
    assert output(engine, record.id) == b"one\ntwo\n"
    assert record.output_bytes == 8
    times = [record.created_at, record.started_at, record.commands[0].finished_at]
    times += [record.commands[1].started_at, record.commands[1].finished_at, record.finished_at]
    assert times == sorted(times)


async def test_every_engine_answers_for_every_job(open_engine):
    first, second = await open_engine(), await open_engine()
    job_id = await submitted(first, "exec sleep 1000")
    await started(second, job_id)
    assert second.jobs.show(job_id).state is State.RUNNING
    assert (await second.page(Query(), ALL, full=False)).ids == [job_id]
    waiting = asyncio.ensure_future(first.jobs.wait(job_id))
    assert await second.kill(job_id, signal=15, grace_s=300) in (State.RUNNING, State.KILLED)
    assert (await ended(second, job_id)).reason is Reason.REQUESTED
    async with asyncio.timeout(FUSE_S):
        assert (await waiting).state is State.KILLED
    await first.clean(job_id)
    with pytest.raises(UnknownJob):
        second.jobs.show(job_id)
    assert not Path(second.jobs.files(job_id).directory).exists()


async def test_a_wait_ends_with_its_timeout_and_shows_the_job_as_it_is(open_engine, fifo):
    go = fifo()
    engine = await open_engine()
    job_id = await submitted(engine, f"read < {go}")
    assert (await engine.jobs.wait(job_id, 0)).state in (State.PENDING, State.RUNNING)
    go.go()
    assert (await ended(engine, job_id)).state is State.EXITED
    with pytest.raises(UnknownJob):
        await engine.jobs.wait("nope", 0)


async def test_a_live_job_is_not_cleaned(open_engine, fifo):
    go = fifo()
    engine = await open_engine()
    job_id = await submitted(engine, f"read < {go}")
    with pytest.raises(JobIsLive):
        await engine.clean(job_id)
    go.go()
    await ended(engine, job_id)


async def test_slots_are_given_first_come_first_served_across_engines(open_engine, fifo):
    gates = [fifo() for _ in range(6)]
    engines = [await open_engine(), await open_engine()]
    jobs = [await submitted(engines[n % 2], f"read < {gate}") for n, gate in enumerate(gates)]
    for number, gate in enumerate(gates):
        await started(engines[0], jobs[number])
        # Two run at a time, and nobody is overtaken.
        assert [engines[1].jobs.show(job).state for job in jobs[number + 2 :]] == [
            State.PENDING
        ] * max(0, 4 - number)
        gate.go()
        await ended(engines[0], jobs[number])


async def test_a_pending_job_is_killed_through_another_engine(open_engine, fifo):
    go = fifo()
    first, second = await open_engine(), await open_engine()
    blocking = [await submitted(first, f"read < {go}") for _ in range(2)]
    job_id = await submitted(first, "echo no")
    await second.kill(job_id, signal=15, grace_s=0)
    record = await ended(second, job_id)
    assert (record.state, record.started_at, record.kill.found) == (State.KILLED, None, 0)
    assert record.commands[0].state is State.SKIPPED
    go.go(2)
    for other in blocking:
        await ended(first, other)


async def test_a_job_that_is_pending_too_long_is_killed(open_engine, fifo):
    go = fifo()
    engine = await open_engine()
    blocking = [await submitted(engine, f"read < {go}") for _ in range(2)]
    record = await ended(engine, await submitted(engine, "echo no", queue_timeout_s=0.1))
    assert (record.state, record.reason) == (State.KILLED, Reason.QUEUE_TIMEOUT)
    assert (record.started_at, record.commands[0].state) == (None, State.SKIPPED)
    assert record.kill.verified_gone
    assert record.finished_at - record.created_at >= 0.1e9
    go.go(2)
    for other in blocking:
        await ended(engine, other)


async def test_a_job_that_was_pending_too_long_while_nobody_lived_is_killed(open_engine, settings):
    long_ago = JobRecord(
        id=str(uuid.uuid4()),
        created_at=1,
        spec=encode_spec(spec("echo no", queue_timeout_s=60.0)),
        commands=(CommandOutcome(),),
    )
    store = Store(settings.state_dir / "jobs.db")
    store.insert(long_ago)
    store.close()
    record = await ended(await open_engine(), long_ago.id)
    assert (record.state, record.reason) == (State.KILLED, Reason.QUEUE_TIMEOUT)
    assert (record.kill.found, record.kill.verified_gone) == (0, True)


async def test_what_an_older_supervisor_cannot_do_is_refused(open_engine):
    engine = await open_engine()
    engine._session._hello = {**engine._session.hello, "capabilities": []}
    with pytest.raises(InvalidJob) as refused:
        await submitted(engine, "true", idle_timeout_s=1.0, queue_timeout_s=1.0, priority=1)
    assert [place.pointer for place in refused.value.errors] == [
        "/IdleTimeout",
        "/QueueTimeout",
        "/Priority",
    ]
    assert (await ended(engine, await submitted(engine, "true"))).exit_code == 0


async def test_an_older_supervisor_is_sent_no_signal_that_it_does_not_know(open_engine):
    engine = await open_engine()
    job = await submitted(engine, "exec sleep 600")
    await started(engine, job)
    known = engine._session.hello["capabilities"]
    older = [name for name in known if name != "signal"]
    engine._session._hello = {**engine._session.hello, "capabilities": older}
    with pytest.raises(Unavailable, match="`jobrunner supervisor upgrade`"):
        await engine.interaction.signal(job, signal.SIGHUP)
    assert engine.jobs.show(job).state is State.RUNNING
    engine._session._hello = {**engine._session.hello, "capabilities": known}
    assert await engine.interaction.signal(job, signal.SIGHUP) == 1
    assert (await ended(engine, job)).signal == "SIGHUP"


async def test_one_principal_does_not_starve_the_others(open_engine, fifo):
    gates = [fifo() for _ in range(6)]
    engine = await open_engine()

    async def submit(number, principal):
        return (await engine.submit(spec(f"read < {gates[number]}"), principal=principal)).id

    jobs = [await submit(number, "greedy") for number in range(4)]
    jobs += [await submit(4, "ann"), await submit(5, "bob")]
    gates[0].go()  # one of the two slots is greedy's still, and ann has none
    await started(engine, jobs[4])
    gates[4].go()
    await started(engine, jobs[5])
    assert [engine.jobs.show(job).state for job in jobs[2:4]] == [State.PENDING] * 2
    for number in (1, 2, 3, 5):
        gates[number].go()
    for job in jobs:
        assert (await ended(engine, job)).exit_code == 0


# ------------------------------------------------------------------------------------------- keys


async def test_one_key_makes_one_job_whoever_is_asked(open_engine):
    engines = [await open_engine() for _ in range(3)]
    for round_number in range(5):
        key = f"key{round_number}"
        answers = await asyncio.gather(*(e.submit(spec("true"), key=key) for e in engines * 2))
        assert len({answer.id for answer in answers}) == 1
        assert [answer.created for answer in answers].count(True) == 1
        await ended(engines[0], answers[0].id)
    assert len((await engines[0].page(Query(frozenset(State)), ALL, full=False)).ids) == 5


async def test_a_key_is_for_one_body(open_engine):
    engine = await open_engine()
    job_id = (await engine.submit(spec("true"), key="k")).id
    with pytest.raises(IdempotencyKeyReused):
        await engine.submit(spec("false"), key="k")
    await ended(engine, job_id)
    await engine.clean(job_id)
    with pytest.raises(IdempotencyKeyReused):
        await engine.submit(spec("false"), key="k")
    again = await engine.submit(spec("true"), key="k")
    assert (again.id, again.created) == (job_id, False)


async def test_a_key_of_an_older_release_leads_to_its_job(open_engine):
    engine = await open_engine()
    job_id = (await engine.submit(spec("true"), key="k")).id
    await ended(engine, job_id)
    stored = '{"Commands":[{"Kind":"bash","CommandLine":"true"}]}'  # it knew no more keys
    engine.store.connection.execute("UPDATE specs SET spec = ?", (stored,))
    old = hashlib.sha256(stored.encode()).digest()
    engine.store.connection.execute("UPDATE jobs SET idempotency_hash = ?", (old,))
    again = await engine.submit(spec("true"), key="k")
    assert (again.id, again.created) == (job_id, False)
    with pytest.raises(IdempotencyKeyReused):
        await engine.submit(spec("false"), key="k")


async def test_a_key_goes_with_its_job_where_none_is_kept(open_engine):
    engine = await open_engine(key_retention=0.0)
    job_id = (await engine.submit(spec("true"), key="k")).id
    await ended(engine, job_id)
    await engine.clean(job_id)
    assert (await engine.submit(spec("false"), key="k")).created


# -------------------------------------------------------------------------------------- take over


async def test_an_engine_that_closes_hands_its_jobs_over(open_engine, fifo):
    ready, go = fifo(), fifo()
    first, second = await open_engine(), await open_engine()
    job_id = await submitted(first, f"echo > {ready}; read < {go}", "echo two")
    await ready.line()
    await first.close()
    go.go()
    record = await ended(second, job_id)
    assert (record.state, record.exit_code) == (State.EXITED, 0)
    assert output(second, job_id) == b"two\n"


async def test_what_ends_while_no_engine_lives_is_recorded_by_the_next(open_engine, fifo):
    ready, go = fifo(), fifo()
    first = await open_engine()
    job_id = await submitted(first, f"echo > {ready}; read < {go}; exit 5", "echo never")
    await ready.line()
    await first.close()
    go.go()
    record = await ended(await open_engine(), job_id)
    assert (record.state, record.exit_code) == (State.EXITED, 5)
    assert [o.state for o in record.commands] == [State.EXITED, State.SKIPPED]


async def test_an_engine_that_closes_sends_its_waiters_away(open_engine, fifo):
    go = fifo()
    first, second = await open_engine(), await open_engine()
    job_id = await submitted(first, f"read < {go}")
    waiting = asyncio.ensure_future(first.jobs.wait(job_id))
    await first.jobs.wait(job_id, 0)  # the other one waits by now
    await first.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await first.submit(spec("true"))
    go.go()
    await ended(second, job_id)


async def test_a_lost_supervisor_loses_what_ran_and_runs_what_had_not_begun(
    open_engine, settings, fifo
):
    ready = fifo()
    engine, other = await open_engine(), await open_engine()
    running = []
    for owner in (engine, other):
        line = f"echo said; echo > {ready}; exec sleep 1000"
        running.append(await submitted(owner, line, "echo never"))
        await ready.line()
    pending = [await submitted(owner, "echo ran >> ran; cat ran") for owner in (engine, other)]
    kill_supervisor(settings)
    for job_id in running:
        record = await ended(engine, job_id)
        assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
        assert [o.state for o in record.commands] == [State.KILLED, State.SKIPPED]
        assert (record.output_bytes, record.output_complete) == (5, False)
        assert output(engine, job_id) == b"said\n"
    for job_id in pending:
        record = await ended(other, job_id)
        assert (record.state, record.exit_code) == (State.EXITED, 0)
        assert output(other, job_id) == b"ran\n", "once"


def a_record(job_id, line, **fields):
    return JobRecord(
        id=job_id,
        created_at=1,
        spec=encode_spec(spec(line)),
        commands=(CommandOutcome(),),
        **fields,
    )


async def test_what_a_dead_service_left_is_taken_up_once(open_engine, settings):
    """As the store tells it: nobody else knows these jobs."""
    kill = Kill(reason=Reason.REQUESTED, requested_at=1, signal="SIGTERM", grace_s=1.0)
    names = ("fresh", "asked", "killed", "over")
    fresh, asked, killed, over = (str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in names)
    with contextlib.closing(Store(settings.state_dir / "jobs.db")) as store:
        store.insert(a_record(fresh, "echo ran >> ran; cat ran"))
        store.insert(a_record(asked, "echo no", dispatched=0))
        store.insert(a_record(killed, "echo no"))
        store.kills.add(killed, kill)
        finished = store.insert(a_record(over, "echo no", state=State.EXITED))
    engines = await asyncio.gather(*(open_engine() for _ in range(3)))
    record = await ended(engines[0], fresh)
    assert (record.state, record.exit_code) == (State.EXITED, 0)
    assert output(engines[0], fresh) == b"ran\n"
    record = await ended(engines[1], asked)
    assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
    record = await ended(engines[2], killed)
    assert (record.state, record.reason, record.kill.found) == (State.KILLED, Reason.REQUESTED, 0)
    assert engines[0].jobs.show(over) == finished
    for job_id in (asked, killed):
        assert not Path(engines[0].jobs.files(job_id).log).exists()


# --------------------------------------------------------------------------------- storing fails


async def test_what_cannot_be_stored_is_kept_and_tried_again(
    open_engine, settings, fifo, monkeypatch
):
    monkeypatch.setattr("service.store.database._BUSY_S", 0.0)
    go = fifo()
    engine = await open_engine()
    job_id = await submitted(engine, f"read < {go}; exit 7")
    await started(engine, job_id)
    deferred = asyncio.Event()

    def note(_logger, _method, event):
        if event["event"] == "events_not_stored":
            deferred.set()
        raise structlog.DropEvent

    with contextlib.closing(sqlite3.connect(settings.state_dir / "jobs.db")) as other:
        other.isolation_level = None
        with monkeypatch.context() as patched:
            patched.setitem(structlog._config._CONFIG.__dict__, "default_processors", [note])
            other.execute("BEGIN IMMEDIATE")
            go.go()
            async with asyncio.timeout(FUSE_S):
                await deferred.wait()
            assert engine.jobs.show(job_id).state is State.RUNNING
            other.execute("ROLLBACK")
    record = await ended(engine, job_id)
    assert (record.state, record.exit_code) == (State.EXITED, 7)


# -------------------------------------------------------------------------------------------- end


async def test_a_shutdown_ends_every_job_that_runs_and_keeps_those_that_wait(
    open_engine, settings, fifo
):
    ready = fifo()
    engine = await open_engine(max_running=4)
    running = await submitted(engine, f"trap '' TERM; echo > {ready}; exec sleep 1000")
    await ready.line()
    others = [await submitted(engine, "sleep 1000") for _ in range(3)]
    for job_id in others:
        await started(engine, job_id)
    waiting = await submitted(engine, "true")
    await engine.close()
    descriptor = os.pidfd_open(supervisor_pid(settings))
    try:
        await end_all_jobs(settings)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        assert poller.poll(FUSE_S * 1000), "nothing is left to supervise"
    finally:
        os.close(descriptor)
    for job_id in (running, *others):
        record = engine.store.get(job_id)
        assert (record.state, record.reason) == (State.KILLED, Reason.SHUTDOWN)
        assert record.kill.verified_gone
    record = engine.store.get(waiting)
    assert (record.state, record.reason, record.kill) == (State.PENDING, None, None)


async def test_nothing_of_an_engine_outlives_it(open_engine):
    engine = await open_engine()
    await ended(engine, await submitted(engine, "true"))
    await engine.close()
    await engine.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# ------------------------------------------------------------------- records that others change


async def test_a_recovery_that_is_retried_drops_no_event_of_our_own_jobs(open_engine, fifo):
    engine = await open_engine()
    for _ in range(10):
        gate = fifo()
        job_id = await submitted(engine, f"read -r _ < {gate}", "true")
        await started(engine, job_id)
        gate.go()
        # As after a failure of the first: with what the supervisor knew when it said hello.
        await engine._recovery.run(await engine._session.current(), frozenset())
        record = await ended(engine, job_id)
        assert [outcome.exit_code for outcome in record.commands] == [0, 0]


async def test_a_job_whose_record_others_have_changed_is_read_again_and_goes_on(open_engine, fifo):
    engine, gate = await open_engine(), fifo()
    job_id = await submitted(engine, f"read -r _ < {gate}", "true")
    await started(engine, job_id)
    # What one does who was stopped while it stored, and wakes.
    assert engine.store.update(engine.store.get(job_id)) is State.RUNNING
    gate.go()
    record = await ended(engine, job_id)
    assert [outcome.exit_code for outcome in record.commands] == [0, 0]
    assert record.state is State.EXITED


async def test_a_log_that_cannot_be_read_holds_up_no_other_job(settings, open_engine, fifo):
    first, gate = await open_engine(), fifo()
    ids = [await submitted(first, f"echo on; read -r _ < {gate}") for _ in range(2)]
    for job_id in ids:
        await started(first, job_id)
    await first.close()
    kill_supervisor(settings)
    index = settings.state_dir / "logs" / ids[0] / "runs"
    index.unlink()
    index.mkdir()
    second = await open_engine()
    records = [await ended(second, job_id) for job_id in ids]
    assert [(r.state, r.reason) for r in records] == [(State.KILLED, Reason.LOST)] * 2


async def test_a_job_of_which_nonsense_is_said_is_lost_and_stops_no_other(open_engine, fifo):
    engine = await open_engine()
    gates = [fifo(), fifo()]  # one each: the job that is lost may still read
    ids = [await submitted(engine, f"read -r _ < {gate}") for gate in gates]
    for job_id in ids:
        await started(engine, job_id)
    event = {"type": "event", "job": ids[0], "name": "refused", "command": 7, "seq": 9}
    engine._driver.received([{**event, "error": "None.", "ends_job": True, "at": 1}])
    record = await ended(engine, ids[0])
    assert (record.state, record.reason) == (State.KILLED, Reason.LOST)
    assert "makes no sense" in record.error
    assert engine.remarks()["records"].startswith("1 ")
    gates[1].go()
    assert (await ended(engine, ids[1])).exit_code == 0


async def test_at_the_end_of_the_service_jobs_of_a_dead_supervisor_are_ended_too(
    settings, open_engine, fifo
):
    engine, ready = await open_engine(), fifo()
    job_id = await submitted(engine, f"echo $$ > {ready}; exec sleep 1000")
    process = os.pidfd_open(int(await ready.line()))
    try:
        await started(engine, job_id)
        await engine.close()
        kill_supervisor(settings)
        # The grace is part of the bound, and on a busy machine another supervisor starts slowly.
        assert await end_all_jobs(replace(settings, shutdown_grace=60.0))
        poller = select.poll()
        poller.register(process, select.POLLIN)
        assert poller.poll(0), "it is gone when the service says so"
    finally:
        os.close(process)
