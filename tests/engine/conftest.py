"""What tests of the engine share: a driver on real records and a supervisor of the test."""

import contextlib

import pytest
from fake_supervisor import FakeSession, Told

from service.engine.driver import Driver
from service.engine.record_writer import RecordWriter
from service.kinds.settings import read_settings
from service.metrics.series import Metrics
from service.store import Store


@pytest.fixture
def settings_of_engine(tmp_path):
    (tmp_path / "state" / "jobs").mkdir(parents=True)
    return read_settings({"JOBRUNNER_STATE_DIR": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"})


@pytest.fixture
def records(settings_of_engine):
    with contextlib.closing(Store(settings_of_engine.state_dir / "jobs.db")) as store:
        yield store


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def writer(records):
    return RecordWriter(records, Metrics())


@pytest.fixture
async def session():
    return FakeSession()


@pytest.fixture
async def driver(settings_of_engine, records, writer, told, session):
    driver = Driver(settings_of_engine, records, writer, told)
    driver.connected(session, {})
    yield driver
    driver.lost()
