"""Cursors of many jobs: they come back as they were, are small, and nothing else is one."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.many_place import Backlog, InvalidPlace, Place, parse_place
from service.settings import SettingError, Settings

NUMBERS = st.integers(0, 2**62)
WORDS = st.integers(0, 2**32 - 1)
PLACES = st.builds(
    Place,
    WORDS,
    WORDS,
    NUMBERS,
    NUMBERS,
    st.none() | st.builds(Backlog, NUMBERS, st.integers(1, 2**62), NUMBERS),
    st.dictionaries(st.integers(1, 2**62), st.none() | NUMBERS, max_size=50),
)


@given(PLACES)
def test_a_place_comes_back_from_its_cursor(place):
    assert parse_place(str(place)) == place


@given(PLACES, st.integers(1, 2**62), NUMBERS)
def test_the_places_of_a_turn_are_those_of_the_whole(place, number, offset):
    around = place.around(number).at(offset)
    place.jobs[number] = offset
    assert around == str(place)
    ended = place.without(number, is_kept=True)
    place.jobs[number] = None
    assert ended == str(place)
    gone = place.without(number, is_kept=False)
    del place.jobs[number]
    assert gone == str(place)


def test_a_cursor_of_a_hundred_jobs_is_short():
    jobs = dict.fromkeys(range(1000000, 1000200, 2), 10000000)
    assert len(str(Place(2**32 - 1, 2**32 - 1, 0, 10**9, None, jobs))) < 750


@pytest.mark.parametrize(
    "text", ["", "x", "AQ", "AQAAAAAAAAAA", "=", "AQ é", "A" * 30_000, "AQAAAAAAAAAAAAAAAAAA//"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(InvalidPlace):
        parse_place(text)


def test_a_cursor_of_as_many_jobs_as_may_be_followed_fits_into_a_request():
    most = 500
    environment = {"JOBRUNNER_STATE_DIR": "/state", "JOBRUNNER_MAX_FOLLOWED_JOBS": f"{most}"}
    assert Settings.from_environment(environment).max_followed_jobs == most
    with pytest.raises(SettingError):
        Settings.from_environment({**environment, "JOBRUNNER_MAX_FOLLOWED_JOBS": f"{most + 1}"})
    followed = {10**9 + 200 * n: 10**11 for n in range(most)}
    waiting = dict.fromkeys(range(2 * 10**9, 2 * 10**9 + 200 * most, 200), 0)
    place = Place(2**32 - 1, 2**32 - 1, 2**62, 10**9, Backlog(1, 10**9, 10**9), followed | waiting)
    assert len(str(place)) < 7500  # of the 8192 bytes of a head


def test_a_number_that_no_job_can_have_is_refused():
    jobs = {2**63 - 1: 0, 2**63: 0}
    with pytest.raises(InvalidPlace):
        parse_place(str(Place(1, 1, 0, 0, None, jobs)))


@given(PLACES, st.data())
def test_no_cursor_that_was_shortened_or_changed_passes_for_another_spelling(place, data):
    text = str(place)
    cut = data.draw(st.integers(0, len(text) - 1))
    try:
        found = parse_place(text[:cut])
    except InvalidPlace:
        return
    assert str(found) == text[:cut]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_place_or_refused(raw):
    text = raw.decode("latin-1")
    with contextlib.suppress(InvalidPlace):
        assert str(parse_place(text)) == text
