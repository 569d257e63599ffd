"""Answers of services that know less or more than this client does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from service.client import UnexpectedAnswer
from service.client.calls import Answer, decoded
from service.client.earlier import NOTHING, neutral
from service.client.wire import event_record, output_record
from service.jobs import views
from service.jobs.views import JobView, Listing

pytestmark = pytest.mark.once

# As a service sent it, but for the members that this test leaves out.
RECORDED = """
{"ID":"a83e58de-df53-44ca-928d-12c32163638a","Name":null,"Labels":{},"State":"killed",
"Reason":"requested","ExitCode":null,"Signal":"SIGTERM","Error":null,
"CreatedAt":"2026-11-26T14:59:33.464763Z","StartedAt":"2026-11-26T14:59:33.493401Z",
"FinishedAt":"2026-11-26T14:59:34.493401Z","Duration":1.0,"WorkingDir":"/srv/work",
"Environment":[],"Timeout":null,"IdleTimeout":null,"QueueTimeout":null,"Priority":0,"Grace":10.0,
"Commands":[{"Kind":"bash","CommandLine":"sleep 100000","State":"killed","ExitCode":null}],
"Limits":{"Memory":null,"CPUs":null,"PIDs":null,"OpenFiles":null,"FileSize":null},"Hold":false,
"Files":[],"Usage":{"CPUSeconds":0.00486,"PeakMemory":1802240,"Memory":null,"Processes":null},
"Output":{"Bytes":0,"Complete":true,"Gaps":[],"Exact":true},
"Kill":{"RequestedAt":"2026-11-26T14:59:34.4Z","Signal":"SIGTERM","Signals":["SIGTERM"],"Grace":10.0,
"Found":1,"Escalated":false,"VerifiedGone":true},
"Left":[],"Stdin":false,"TTY":null,"WaitingForInput":null}
"""
# Text and numbers, which have no value that says nothing: an answer without one of them is none.
NEEDED = {
    "CheckView": [],
    "CleanedJobs": [],
    "EndRecord": ["State", "Bytes", "Stdout", "Stderr"],
    "ExcerptView": ["Text", "Head", "Tail"],
    "FileEntry": ["Name", "Path", "Type", "Size", "ModifiedAt", "Mode"],
    "InputTaken": ["Offset"],
    "JobView": ["ID", "State", "CreatedAt", "WorkingDir", "Priority", "Grace", "Output"],
    "Killed": ["ID"],
    "KillView": ["RequestedAt", "Signal", "Grace"],
    "LeftView": ["PID", "Command"],
    "Listing": ["Total"],
    "OutcomeView": ["State"],
    "OutputView": ["Bytes"],
    "ProcessView": ["PID", "Parent", "Command", "State", "CPUSeconds", "Memory", "StartedAt"],
    "Resized": ["ID", "Rows", "Cols"],
    "Signalled": ["ID", "Signal", "Processes"],
    "Unpacked": ["Entries"],
    "UntouchedView": ["ID", "Why"],
    "Accepted": ["ID"],
}


def recorded() -> dict[str, Any]:
    return msgspec.json.decode(RECORDED)


def answer(value: Any) -> Answer:
    return Answer(200, {}, msgspec.json.encode(value))


def lacking(place: str, member: str) -> dict[str, Any]:
    value = recorded()
    of = value[place] if place else value
    del of[member]
    return value


MISSING = [
    ("", "Reason", None),
    ("", "Labels", {}),
    ("", "Hold", False),
    ("", "Files", []),
    ("", "Left", []),
    ("", "WaitingForInput", None),
    ("Output", "Gaps", []),
    ("Output", "Exact", False),
    ("Usage", "PeakMemory", None),
    ("Kill", "Signals", []),
    ("Kill", "VerifiedGone", None),
]


@pytest.mark.parametrize(("place", "member", "said"), MISSING)
def test_a_member_that_the_service_does_not_send_says_nothing(place, member, said):
    view = decoded(answer(lacking(place, member)), JobView)
    whole = msgspec.to_builtins(view)
    assert (whole[place] if place else whole)[member] == said
    expected = recorded()
    (expected[place] if place else expected)[member] = said
    assert msgspec.convert(expected, JobView) == view


def test_views_in_a_list_and_in_events_are_completed_too():
    lacks = lacking("", "Left")
    del lacks["Usage"]
    listed = decoded(answer({"IDs": [lacks["ID"]], "Total": 1, "Jobs": [lacks]}), Listing)
    line = msgspec.json.encode({"Type": "change", "Seq": 3, **lacks})
    _, changed = event_record(line)
    assert changed == listed.jobs[0]
    assert changed.left == []
    assert changed.usage.peak_memory is None


def test_an_end_record_without_a_digest_is_one():
    whole = {"Type": "end", "State": "exited", "ExitCode": 0, "Bytes": 3, "Stdout": 3, "Stderr": 0}
    end = output_record(msgspec.json.encode(whole))
    assert (end.exit_code, end.sha256, end.reason) == (0, None, None)


def test_members_of_a_later_service_are_ignored():
    later = recorded() | {"Later": {"a": [1]}}
    later["Output"]["Later"] = 1
    assert decoded(answer(later), JobView) == decoded(answer(recorded()), JobView)


@pytest.mark.parametrize("member", ["ID", "State", "CreatedAt", "Output"])
def test_what_is_no_job_is_still_refused(member):
    with pytest.raises(UnexpectedAnswer, match=f"`{member}`"):
        decoded(answer(lacking("", member)), JobView)


@pytest.mark.parametrize("said", [{}, {"error": "Log in first."}])
def test_an_object_of_another_program_is_refused(said):
    with pytest.raises(UnexpectedAnswer, match="Expected JSON of a CleanedJobs"):
        decoded(answer(said), views.CleanedJobs)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_later_member_of_a_view_can_be_left_out(name):
    """When this fails for a new member: make it one that may be null, or give it a default."""
    found = msgspec.inspect.type_info(getattr(views, name))
    needed = [f.encode_name for f in found.fields if f.required and neutral(f.type) is NOTHING]
    assert needed == NEEDED[name]
