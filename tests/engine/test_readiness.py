"""Each thing that a new job needs is looked at by itself, and what is wrong has a name and a reason."""

import contextlib

import pytest

from service.engine.readiness import readiness
from service.jobs.errors import NoRoom
from service.store import Store

WELL = {"supervisor": None, "room": None, "records": None}


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store(tmp_path / "jobs.db")) as store:
        yield store


def no_room():
    raise NoRoom("3 bytes left.")


def room():
    return None


def test_when_all_is_well_each_check_is_named_without_a_reason(store):
    assert readiness(store, is_up=True, check_room=room) == WELL


def test_each_thing_that_is_wrong_says_so_beside_those_that_are_not(store):
    assert readiness(store, is_up=True, check_room=no_room) == {**WELL, "room": "3 bytes left."}
    down = readiness(store, is_up=False, check_room=room)
    assert down == {**WELL, "supervisor": "The supervisor can't be reached."}
    store._db.execute("PRAGMA query_only = ON")
    broken = readiness(store, is_up=False, check_room=no_room)
    assert all(broken.values())
    assert "readonly" in broken["records"]
