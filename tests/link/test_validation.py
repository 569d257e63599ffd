"""What is taken for a message: what its type declares, and nothing else."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired, TypedDict, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.link import from_supervisor, job_events, to_supervisor
from service.link.inbound import _CHECKS, _EVENT_CHECKS, notification
from service.link.validation import InvalidMessage, checker
from service.link.values import Argv, Between, JobId, RunAs, Seconds, Text, TimeNs
from service.supervisor.handlers.table import TABLE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = sorted(
    {
        key
        for message in (*get_args(to_supervisor.ToSupervisor), *get_args(job_events.Event))
        for key in get_type_hints(message)
    }
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), JSON, max_size=8)


class Inner(TypedDict):
    number: int
    more: NotRequired[str]


class Example(TypedDict):
    type: Literal["example"]
    job: JobId
    text: str
    number: int
    seconds: Seconds
    flag: bool
    at: TimeNs
    words: Sequence[str]
    env: Mapping[Text, Text]
    inner: Inner
    choice: Literal["a", "b"]
    nothing: str | None
    argv: Argv
    few: NotRequired[Annotated[int, Between(1, 3)]]


SOUND = {
    "type": "example",
    "job": "00000000-0000-4000-8000-000000000000",
    "text": "",
    "number": -1,
    "seconds": 0,
    "flag": False,
    "at": (1 << 63) - 1,
    "words": [],
    "env": {"A": "\udcff"},
    "inner": {"number": 1},
    "choice": "a",
    "nothing": None,
    "argv": ["true"],
}
check = checker(Example)


def test_a_sound_message_is_accepted_also_with_what_a_newer_peer_says_beside():
    check(SOUND)
    check({**SOUND, "few": 3, "novelty": [1], "inner": {"number": 1, "more": ""}, "nothing": ""})


@pytest.mark.parametrize("key", [key for key in SOUND if key != "type"])
def test_a_missing_key_is_named(key):
    with pytest.raises(InvalidMessage, match=f"^example: `{key}` is missing$"):
        check({name: value for name, value in SOUND.items() if name != key})


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("type", "other", "expected one of 'example'"),
        ("job", "", "matches"),
        ("job", "../x", "matches"),
        ("job", ".", "matches"),
        ("job", "x" * 201, "matches"),
        ("job", "x\n", "matches"),
        ("text", 1, "expected a string"),
        ("text", None, "expected a string"),
        ("number", True, "expected an integer"),
        ("number", 1.0, "expected an integer"),
        ("seconds", True, "expected a number"),
        ("seconds", -0.1, "from 0 to"),
        ("seconds", math.nan, "from 0 to"),
        ("seconds", math.inf, "from 0 to"),
        ("seconds", 10**400, "from 0 to"),
        ("flag", 1, "expected true or false"),
        ("at", 1 << 63, "from 0 to"),
        ("words", "word", "expected a list"),
        ("words", [1], "expected a string"),
        ("env", [], "expected an object"),
        ("env", {"A": 1}, "expected a string"),
        ("env", {"A": "\ud800"}, "lone surrogates"),
        ("env", {"\ud800": "a"}, "lone surrogates"),
        ("inner", {}, "`number` is missing"),
        ("inner", {"number": 1, "novelty": 1}, "doesn't know"),
        ("choice", "c", "expected one of 'a', 'b'"),
        ("choice", [], "expected one of 'a', 'b'"),
        ("nothing", 1, "expected a string or expected null"),
        ("argv", [], "at least one"),
        ("few", 4, "from 1 to 3"),
        ("few", None, "expected an integer"),
    ],
    ids=repr,
)
def test_a_wrong_value_is_refused_and_its_key_named(key, value, why):
    with pytest.raises(InvalidMessage) as refused:
        check({**SOUND, key: value})
    assert str(refused.value).startswith(f"{value if key == 'type' else 'example'}: `{key}`: ")
    assert why in str(refused.value)


def test_the_reason_never_shows_a_value():
    for key in SOUND:
        for value in ("s3cret\ud800", ["s3cret", 1], {"s3cret": 1}):
            if key != "type":
                try:
                    check({**SOUND, key: value})
                except InvalidMessage as exc:
                    assert "s3cret" not in str(exc)


def test_a_user_is_two_numbers_of_the_kernel():
    class Message(TypedDict):
        type: str
        run_as: RunAs

    checker(Message)({"type": "m", "run_as": {"uid": 0, "gid": (1 << 32) - 2}})
    for wrong in ({"uid": 0}, {"uid": 0, "gid": -1}, {"uid": 0, "gid": (1 << 32) - 1}, [0, 0]):
        with pytest.raises(InvalidMessage):
            checker(Message)({"type": "m", "run_as": wrong})


# ------------------------------------------------------------------------------ the real messages


def declared(union):
    """Message type → its TypedDict."""
    types = {}
    for message in get_args(union):
        (name,) = get_args(get_type_hints(message)["type"])
        types[name] = message
    return types


def test_each_message_to_the_supervisor_has_a_handler():
    assert declared(to_supervisor.ToSupervisor).keys() == TABLE.keys()


def test_each_notification_has_a_check():
    assert declared(from_supervisor.Notification).keys() == _CHECKS.keys() | {"event"}
    names = {
        name
        for event in get_args(job_events.Event)
        for name in get_args(get_type_hints(event)["name"])
    }
    assert names == _EVENT_CHECKS.keys()


@given(st.sampled_from(sorted(TABLE)), OBJECTS)
def test_any_object_is_accepted_or_refused(message_type, fields):
    check, _ = TABLE[message_type]
    message = {**fields, "type": message_type}
    try:
        check(message)
    except InvalidMessage as exc:
        assert str(exc).startswith(f"{message_type}: ")
    else:
        known = get_type_hints(declared(to_supervisor.ToSupervisor)[message_type])
        assert all(message[key] is not None for key in known.keys() & message.keys())


@given(st.sampled_from([*sorted(_CHECKS), "event", "novelty"]), OBJECTS)
def test_a_worker_makes_of_any_object_a_notification_or_a_rejection(message_type, fields):
    made = notification({**fields, "type": message_type})
    if message_type == "novelty":
        assert made is None
    else:
        assert made["type"] in (message_type, "rejected")
        assert isinstance(made.get("job", ""), str)


def test_an_event_without_a_name_is_rejected():
    for name in (None, 1, [], {}):
        made = notification({"type": "event", "job": "job", "seq": 1, "name": name})
        assert (made["type"], made["job"]) == ("rejected", "job")


def test_an_event_that_is_not_known_is_acknowledged_and_changes_nothing():
    event = {"type": "event", "job": "job", "seq": 3, "name": "suspended", "command": 0}
    assert notification(dict(event)) == {**event, "name": "unknown"}
    adopt = {"type": "adopt", "job": "job", "has_slot": True, "dispatched": 0, "events": [event]}
    made = notification({**adopt, "is_recovered": False})
    assert [event["name"] for event in made["events"]] == ["unknown"]


def test_an_adoption_with_an_event_that_makes_no_sense_names_its_job():
    event = {"type": "event", "job": "job", "seq": 3, "name": "ended"}
    adopt = {"type": "adopt", "job": "job", "has_slot": True, "dispatched": 0, "events": [event]}
    assert notification({**adopt, "is_recovered": False}) == {
        "type": "rejected",
        "rejected": "adopt",
        "error": "event: `command` is missing",
        "job": "job",
    }
