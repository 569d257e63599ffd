"""What holds for every test: nothing outlives it."""

from __future__ import annotations

import asyncio
import compileall
import gc
import inspect
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from leaks import Belongings, assert_no_process_of, kept

import service

# On a busy machine an example takes any time; pytest's timeout bounds each test.
settings.register_profile("any_load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_load")

# Makes what uvloop keeps open from its first loop on, for good.
uvloop.new_event_loop().close()


def pytest_configure(config: pytest.Config) -> None:
    """Where no bytecode is written (`PYTHONDONTWRITEBYTECODE`) each process of each service would
    compile all of it: a quarter of a start."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(service.__file__).parent, quiet=2)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: the garbage collector need not look at it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object],
) -> Generator[None, object, object]:
    """A fixture of a wider scope may be made by any test, also by its name at run time."""
    if fixturedef.scope == "function":
        return (yield)
    with kept():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests make in the directory for temporary files can be told from what others make."""
    tmp_path_factory.getbasetemp()  # which is where it always is
    before, path = tempfile.tempdir, Path(tempfile.mkdtemp(prefix="jobrunner-tests-"))
    path.chmod(0o1777)  # other users' processes as well
    tempfile.tempdir = str(path)
    yield
    tempfile.tempdir = before
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def no_process_outlives_its_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of those that are no children of this one: supervisors, and the processes of jobs."""
    yield
    assert_no_process_of(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def nothing_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """No descriptor, child process or temporary file."""
    wider = {
        name
        for name, definitions in request.node._fixtureinfo.name2fixturedefs.items()
        if definitions[-1].scope != "function"
    }
    before = Belongings.now()
    yield
    before.assert_nothing_added(but_sockets=bool(wider - _OURS))


_OURS = {"temporary_directory", "no_process_outlives_its_module"}


@pytest.fixture(autouse=True)
def no_task_outlives_its_test(
    request: pytest.FixtureRequest, nothing_outlives_its_test: None
) -> None:
    """Of those tests that have an event loop. It is closed before `nothing_outlives_its_test`."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("tasks_end")


@pytest.fixture
async def tasks_end() -> AsyncIterator[None]:
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
