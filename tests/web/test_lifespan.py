"""The order in which a process starts and stops, with steps that only write down that they ran."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from service.host.heartbeats import Heartbeats
from service.link.launch import SupervisorFailed
from service.web import lifespan as module
from service.web.jobs_at_stop import JobsAtStop
from service.web.lifespan import Lifespan, Phase

PARTS = ("records", "admission", "engine", "streams")


class Supervisor:
    """One that was started, and serves unless it `fails`."""

    def __init__(self, ran: list[str], *, fails: bool) -> None:
        self._ran = ran
        self._fails = fails

    def wait(self) -> None:
        if self._fails:
            raise SupervisorFailed("it ended")
        self._ran.append("supervisor serves")


class Process:
    """A worker, as Sanic's manager lists it."""

    def __init__(self, ran: list[str]) -> None:
        self._ran = ran
        self._lives = True
        self.name = "Sanic-Server-0-0"
        self.pid = 1
        self._current_process = self

    def kill(self) -> None:
        self._ran.append("worker killed")

    def terminate(self) -> None:
        self._ran.append("worker told to end")
        self._lives = False

    def join(self, _timeout: float | None = None) -> None:
        self._ran.append("worker joined")

    def set_state(self, _state: object, *, force: bool) -> None:
        assert force

    def is_alive(self) -> bool:
        return self._lives


class Manager:
    """What the lifespan uses of Sanic's `WorkerManager`. `at_ack` runs while the workers start."""

    def __init__(self, ran: list[str], at_ack: Any = None) -> None:
        self._ran = ran
        self._at_ack = at_ack
        self._shutting_down = False
        self.monitor_publisher = self
        self.processes = self.transient_processes = [Process(ran)]
        self.worker_state: dict[str, Any] = {"worker": {"server": True, "serving": True}}

    def run(self) -> None:
        raise AssertionError("only Sanic runs it")

    def wait_for_ack(self) -> None:
        if self._at_ack is not None:
            self._at_ack()
        assert self._all_workers_ack()
        self._ran.append("workers serve")

    def _all_workers_ack(self) -> bool:
        raise AssertionError("the service has a look of its own")

    def _poll_monitor(self) -> None:
        self._ran.append("turn")

    def send(self, message: str) -> None:
        self._ran.append(message)

    def shutdown_signal(self, number: int, _frame: object) -> None:
        self._ran.append(f"killed by {number}")


class BoundedStop:
    """Stands in for the thread, which would end this process."""

    def __init__(self, ran: list[str]) -> None:
        self._ran = ran

    def start(self) -> None:
        self._ran.append("bound ready")

    def begin(self) -> None:
        self._ran.append("bound begun")

    def waits_no_more(self) -> None:
        assert "bound begun" in self._ran
        self._ran.append("bound counts")

    def all_serve(self) -> None:
        self._ran.append("bound told that all serve")

    def workers_gone(self) -> None:
        self._ran.append("workers gone")

    def jobs_ended(self, *, ok: bool) -> None:
        self._ran.append(f"jobs ended {ok}")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What ran, in order. Signal handlers are put back."""
    steps: list[str] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    watchdog = SimpleNamespace(start=lambda: steps.append("watchdog"))
    monkeypatch.setattr(module, "BoundedStop", lambda *_, **__: BoundedStop(steps))
    monkeypatch.setattr(module, "Watchdog", lambda *_: watchdog)
    # Shared memory would stay until the garbage collector finds who had it.
    monkeypatch.setattr(module, "Heartbeats", lambda: Heartbeats([0.0] * 2050))
    monkeypatch.setattr(module, "raise_limit", lambda: None)
    monkeypatch.setattr(module, "close_before_connections", lambda: None)
    yield steps
    for number, handler in handlers.items():
        signal.signal(number, handler)


def make(
    ran: list[str],
    *,
    fails: str = "",
    fails_to_close: str = "",
    jobs_end: bool = True,
    drain: Any = None,
) -> Lifespan:
    """A lifespan of recording steps; the one named in `fails` raises."""

    async def open_parts(parts: AsyncExitStack, _heartbeats: Heartbeats | None) -> None:
        for name in PARTS:
            if name == fails:
                raise RuntimeError(name)
            ran.append(f"open {name}")
            parts.push_async_callback(close, name)

    async def close(name: str) -> None:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        ran.append(f"close {name}")
        if name == fails_to_close:
            raise RuntimeError(name)

    async def end_jobs() -> bool:
        ran.append("end jobs")
        return jobs_end

    def start_supervisor() -> Any:
        if fails == "supervisor":
            raise SupervisorFailed("it can't be spawned")
        ran.append("start supervisor")
        return Supervisor(ran, fails=fails == "supervisor serves")

    return Lifespan(
        state_dir_lock=None,
        start_supervisor=start_supervisor,
        open_parts=open_parts,
        jobs=JobsAtStop(began=lambda: None, drain=drain, end=end_jobs, end_s=1.0),
        greet=lambda _app: ran.append("greeted"),
        remove_shared=lambda: ran.append("remove shared"),
    )


def app(manager: Manager | None = None) -> Any:
    return SimpleNamespace(shared_ctx=SimpleNamespace(), manager=manager, debug=False)


async def spawned(lifespan: Lifespan, manager: Manager) -> Any:
    """The app of a main process whose manager is about to spawn its workers."""
    one = app(manager)
    await lifespan.start_main(one)
    await lifespan.watch_workers(one)
    return one


async def serving(lifespan: Lifespan, ran: list[str]) -> Any:
    manager = Manager(ran)
    one = await spawned(lifespan, manager)
    manager.wait_for_ack()
    assert lifespan.phase is Phase.SERVING
    ran.clear()
    return one


# A worker


async def test_parts_are_closed_in_the_reverse_of_the_order_in_which_they_were_opened(ran):
    lifespan = make(ran)
    await lifespan.open_worker(app())
    assert lifespan.phase is Phase.SERVING
    await lifespan.close_worker(app())
    assert lifespan.phase is Phase.STOPPING
    opened = [f"open {name}" for name in PARTS]
    assert ran == [*opened, *(f"close {name}" for name in reversed(PARTS))]


@pytest.mark.parametrize("failing", PARTS)
async def test_a_part_that_cant_be_opened_closes_those_before_it(ran, failing: str):
    lifespan = make(ran, fails=failing)
    with pytest.raises(RuntimeError, match=failing):
        await lifespan.open_worker(app())
    before = PARTS[: PARTS.index(failing)]
    assert ran == [*(f"open {name}" for name in before), *(f"close {n}" for n in reversed(before))]
    assert lifespan.phase is Phase.STARTING
    await lifespan.close_worker(app())
    assert len(ran) == 2 * len(before)  # none is closed twice


async def test_a_part_that_cant_be_closed_leaves_none_of_the_others_open(ran):
    lifespan = make(ran, fails_to_close="engine")
    await lifespan.open_worker(app())
    with pytest.raises(RuntimeError, match="engine"):
        await lifespan.close_worker(app())
    assert ran[len(PARTS) :] == [f"close {name}" for name in reversed(PARTS)]


async def test_two_stops_at_once_close_each_part_once_and_both_wait_for_the_last(ran):
    lifespan = make(ran)
    await lifespan.open_worker(app())
    stops = [asyncio.create_task(lifespan.close_worker(app())) for _ in range(2)]
    await asyncio.wait(stops, return_when=asyncio.FIRST_COMPLETED)
    assert ran[len(PARTS) :] == [f"close {name}" for name in reversed(PARTS)]
    await asyncio.gather(*stops)
    assert len(ran) == 2 * len(PARTS)


# The main process: start


async def test_the_supervisor_starts_before_the_workers_and_is_waited_for_beside_them(ran):
    lifespan, manager = make(ran), Manager(ran)
    await spawned(lifespan, manager)
    assert ran == ["start supervisor", "bound ready"]
    assert lifespan.phase is Phase.STARTING
    manager.wait_for_ack()
    assert ran[2:] == [
        "supervisor serves",
        "workers serve",
        "bound told that all serve",
        "greeted",
        "watchdog",
    ]
    assert lifespan.phase is Phase.SERVING


async def test_a_supervisor_that_cant_be_spawned_is_an_exit_with_status_2(ran, capsys):
    with pytest.raises(SystemExit) as refused:
        await make(ran, fails="supervisor").start_main(app())
    assert refused.value.code == 2
    assert "can't be spawned" in capsys.readouterr().err
    assert ran == []


async def test_a_supervisor_that_fails_ends_the_workers_and_no_job_of_an_earlier_service(ran):
    lifespan, manager = make(ran, fails="supervisor serves"), Manager(ran)
    one = await spawned(lifespan, manager)
    with pytest.raises(SystemExit) as refused:
        manager.wait_for_ack()
    assert refused.value.code == 2
    await lifespan.stop_main(one)
    assert ran[2:] == ["worker killed", "worker joined", "remove shared"]


async def test_each_turn_of_the_main_loop_is_a_heartbeat(ran):
    lifespan, manager = make(ran), Manager(ran)
    await spawned(lifespan, manager)
    heartbeats = lifespan.heartbeats
    assert heartbeats is not None
    assert list(heartbeats.memory[-2:]) == [0, 0]
    manager._poll_monitor()
    assert ran[-1] == "turn"
    assert heartbeats.memory[-1] > 0


# The main process: a signal in each phase


async def test_a_signal_before_the_workers_are_spawned_ends_it_at_once(ran):
    lifespan = make(ran)
    await lifespan.start_main(app())
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_while_workers_start_is_kept_until_they_serve(ran, number: signal.Signals):
    lifespan = make(ran)
    manager = Manager(ran, at_ack=lambda: [signal.raise_signal(number) for _ in range(2)])
    await spawned(lifespan, manager)
    manager.wait_for_ack()
    assert lifespan.phase is Phase.STOPPING
    after = ran[ran.index("workers serve") + 1 :]
    assert after == [
        "bound told that all serve",
        "bound begun",
        "bound counts",
        "__TERMINATE__",
        "watchdog",
    ]
    assert "bound begun" in ran[: ran.index("workers serve")]
    assert "__TERMINATE__" not in ran[: ran.index("workers serve")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_while_it_serves_bounds_the_stop_and_then_stops_the_workers(
    ran, number: signal.Signals
):
    lifespan = make(ran)
    await serving(lifespan, ran)
    signal.raise_signal(number)
    assert ran == ["bound begun", "bound counts", "__TERMINATE__"]
    assert lifespan.phase is Phase.STOPPING


async def test_a_signal_while_it_stops_kills_the_workers(ran):
    lifespan = make(ran)
    await serving(lifespan, ran)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert ran[3:] == ["bound begun", f"killed by {signal.SIGINT}"]


async def test_a_stop_that_drains_stops_the_workers_when_no_job_runs_any_more(ran):
    ended = threading.Event()

    async def drain() -> None:
        ran.append("drain")
        await asyncio.to_thread(ended.wait)

    lifespan = make(ran, drain=drain)
    await serving(lifespan, ran)
    signal.raise_signal(signal.SIGTERM)
    assert lifespan.phase is Phase.DRAINING
    lifespan._bound_stop()  # the watchdog saw that signal
    assert "bound counts" not in ran
    (draining,) = [thread for thread in threading.enumerate() if thread.name == "drain"]
    ended.set()
    await asyncio.to_thread(draining.join)
    assert sorted(ran) == sorted(["bound begun"] * 2 + ["drain", "bound counts", "__TERMINATE__"])
    assert lifespan.phase is Phase.STOPPING


async def test_a_signal_while_workers_start_drains_once_they_serve(ran):
    drained = threading.Event()

    async def drain() -> None:
        drained.set()

    lifespan = make(ran, drain=drain)
    manager = Manager(ran, at_ack=lambda: signal.raise_signal(signal.SIGTERM))
    await spawned(lifespan, manager)
    manager.wait_for_ack()
    await asyncio.to_thread(drained.wait)


async def test_a_second_signal_waits_for_no_job(ran):
    ended = threading.Event()

    async def drain() -> None:
        await asyncio.to_thread(ended.wait)

    lifespan = make(ran, drain=drain)
    await serving(lifespan, ran)
    signal.raise_signal(signal.SIGTERM)
    (draining,) = [thread for thread in threading.enumerate() if thread.name == "drain"]
    signal.raise_signal(signal.SIGINT)
    assert lifespan.phase is Phase.STOPPING
    assert ran == ["bound begun", "bound counts", "__TERMINATE__"]
    ended.set()
    await asyncio.to_thread(draining.join)
    assert ran == ["bound begun", "bound counts", "__TERMINATE__"]  # once


async def test_main_that_fails_while_it_drains_ends_the_workers_first(ran):
    ended = threading.Event()

    async def drain() -> None:
        await asyncio.to_thread(ended.wait)

    lifespan = make(ran, drain=drain)
    one = await serving(lifespan, ran)
    signal.raise_signal(signal.SIGTERM)
    await lifespan.stop_main(one)
    assert ran.index("worker told to end") < ran.index("remove shared") < ran.index("end jobs")
    ended.set()
    for thread in threading.enumerate():
        if thread.name == "drain":  # it has a loop of its own, which it closes
            await asyncio.to_thread(thread.join)


# The main process: stop


async def asked_to_stop(lifespan: Lifespan, ran: list[str]) -> Any:
    one = await serving(lifespan, ran)
    signal.raise_signal(signal.SIGTERM)
    ran.clear()
    return one


async def test_jobs_are_ended_once_the_workers_are_gone(ran):
    lifespan = make(ran)
    one = await asked_to_stop(lifespan, ran)
    await lifespan.stop_main(one)
    assert ran == [
        "bound begun",
        "bound counts",
        "remove shared",
        "workers gone",
        "end jobs",
        "jobs ended True",
    ]
    assert lifespan.phase is Phase.STOPPING


async def test_a_stop_that_nobody_asked_for_ends_the_workers_and_no_job(ran):
    lifespan = make(ran)
    one = await serving(lifespan, ran)
    with pytest.raises(SystemExit) as ended:
        await lifespan.stop_main(one)
    assert ended.value.code == 1
    assert ran == [
        "bound begun",
        "bound counts",
        "worker told to end",
        "worker joined",
        "worker joined",
        "remove shared",
        "workers gone",
        "jobs ended False",
    ]


async def test_jobs_that_may_still_run_are_an_exit_with_status_1(ran):
    lifespan = make(ran, jobs_end=False)
    one = await asked_to_stop(lifespan, ran)
    with pytest.raises(SystemExit) as ended:
        await lifespan.stop_main(one)
    assert ended.value.code == 1
    assert ran[-1] == "jobs ended False"


@pytest.mark.parametrize("is_asked", [True, False])
async def test_a_single_process_ends_the_jobs_itself_when_it_is_asked_to_stop(
    ran, monkeypatch: pytest.MonkeyPatch, is_asked
):
    at_exit: list[Any] = []
    monkeypatch.setattr(module.atexit, "register", at_exit.append)
    lifespan, one, stopped = make(ran), app(), asyncio.Event()
    one.stop = lambda *, terminate: terminate or stopped.set()
    await lifespan.open_worker(one)
    await lifespan.watch_single_process(one)
    if is_asked:
        signal.raise_signal(signal.SIGTERM)
        await stopped.wait()
    await lifespan.close_worker(one)
    await lifespan.end_single_process(one)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)
    assert ran[-1] == ("end jobs" if is_asked else "remove shared")
    assert len(at_exit) == (not is_asked)  # the exit status is 1 then
