"""Tasks that nobody awaits: none dies unseen."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from service.engine import tasks as tasks_module
from service.engine.kinds_health import KindsHealth
from service.engine.tasks import OwnedTasks
from service.errors import Unavailable
from service.kinds import KINDS
from service.kinds.settings import read_settings

FUSE_S = 300


async def failing() -> None:
    raise RecursionError("unforeseen")


async def test_a_task_that_fails_is_an_error_with_its_traceback():
    tasks = OwnedTasks()
    with capture_logs() as logs:
        tasks.begin(failing(), name="one")
        await tasks.finish()
    (line,) = logs
    assert (line["event"], line["log_level"], line["task"]) == ("task_failed", "error", "one")
    assert isinstance(line["exc_info"], RecursionError)


async def test_what_a_caller_is_told_is_not_logged_as_well():
    with capture_logs() as logs:
        with pytest.raises(RecursionError):
            await OwnedTasks().run(failing(), name="verb")
    assert logs == []


async def test_a_caller_that_is_gone_leaves_the_work_to_its_end_and_to_the_log():
    tasks, gate, ended = OwnedTasks(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        ended.set()
        raise Unavailable("The disk is gone.")

    with capture_logs() as logs:
        caller = asyncio.create_task(tasks.run(work(), name="verb"))
        running = asyncio.Event()
        asyncio.get_running_loop().call_soon(running.set)
        await running.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gate.set()
        await tasks.finish()
    assert ended.is_set()
    assert [(line["event"], line["error"]) for line in logs] == [
        ("task_failed", "The disk is gone.")
    ]


async def test_a_kept_task_is_begun_again_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tasks_module, "_FIRST_RETRY_S", 0.001)
    tasks, works = OwnedTasks(), asyncio.Event()
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise RecursionError("unforeseen")
        works.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        tasks.keep(work, name="kept")
        async with asyncio.timeout(FUSE_S):
            await works.wait()
        await tasks.cancel_kept()
    assert [line["event"] for line in logs] == ["task_failed"] * 3
    assert [line["retry_s"] for line in logs] == [0.001, 0.002, 0.004]


async def test_a_kind_that_cannot_be_asked_is_unknown_and_asked_again(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    health = KindsHealth(read_settings({"JOBRUNNER_STATE_DIR": str(tmp_path)}))
    monkeypatch.setattr("service.engine.kinds_health._FRESH_S", -1.0)
    usable = (await health.view())["bash"]
    assert usable["Usable"] is not None

    def broken(_settings: object) -> None:
        raise RuntimeError("unforeseen")

    with monkeypatch.context() as patched, capture_logs() as logs:
        for kind in KINDS.values():
            patched.setattr(type(kind), "fault", property(lambda _: broken), raising=False)
        assert (await health.view())["bash"] == {"Usable": None, "Error": None}
    assert [line["event"] for line in logs] == ["task_failed"]
    assert (await health.view())["bash"] == usable
