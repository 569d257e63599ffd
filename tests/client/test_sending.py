"""Whatever is cut while input is sent, the job gets each byte once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_service import Clock, Reply, drive, policy, problem

from service.client import sending
from service.client.steps import Failure, Request
from service.errors import InputClosed, InputOffset, NoInput

pytestmark = pytest.mark.once

PIECE = 10


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PIECE_BYTES", PIECE)


class Job:
    """The input of a job. `fates`: how much of each request is taken, and what comes of it: the
    answer, a refusal of the service or of a proxy, or a cut. When there are no more all is well.
    """

    def __init__(self, *fates: tuple[int, str], ends_when_read: bool = False) -> None:
        self.taken = b""
        self.is_ended = False
        self.requests: list[Request] = []
        self._fates = iter(fates)
        self._ends_when_read = ends_when_read

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        query = dict(request.query)
        count, fate = next(self._fates, (len(request.body or b""), "answer"))
        if fate == "refused":
            return Failure("refused", was_sent=False)
        answer = self._take(query, request.body or b"", count)
        match fate:
            case "answer":
                return answer
            case "stopping":
                return problem(503, "unavailable")
            case "proxy":
                return 502, {}, [b"<html>"]
            case _:
                return Failure("cut")

    def _take(self, query: dict[str, str], body: bytes, count: int) -> Reply:
        if "offset" in query and int(query["offset"]) != len(self.taken):
            return problem(409, "input_offset", offset=len(self.taken))
        if self.is_ended and (body or self._ends_when_read):
            return problem(409, "input_closed", offset=len(self.taken))
        self.taken += body[:count]
        if count < len(body):
            return problem(503, "unavailable")
        self.is_ended |= query.get("eof") == "true"
        return 200, {}, [json.dumps({"Offset": len(self.taken)}).encode()]


def patient(clock: Clock):
    """A client that waits for the first answer for as long as there are fates."""
    return policy(clock, timeout_s=1e6)


def send(job, data: bytes, offset: int | None = None, *, eof: bool = False) -> int:
    clock = Clock()
    (at,) = drive(sending.send(patient(clock), "j", data, offset, eof=eof), job, clock)
    return at


FATES = st.tuples(
    st.integers(0, PIECE + 1), st.sampled_from(["answer", "stopping", "proxy", "cut", "refused"])
)


@given(st.binary(max_size=5 * PIECE), st.booleans(), st.lists(FATES, max_size=12), st.booleans())
def test_each_byte_is_taken_once_and_the_end_after_all(data, eof, fates, ends_when_read):
    job = Job(*fates, ends_when_read=ends_when_read)
    assert send(job, data, eof=eof) == len(data)
    assert job.taken == data
    assert job.is_ended is eof


@pytest.mark.parametrize("fate", ["cut", "stopping", "proxy"])
def test_an_end_alone_is_a_new_one_and_its_repeat_says_where_it_was(fate):
    job = Job((0, "answer"), (0, fate))
    job.taken = b"before"
    assert send(job, b"", eof=True) == 6
    first, again = job.requests[1:]
    assert ("offset", "6") not in first.query
    assert ("offset", "6") in again.query


@given(st.binary(min_size=1, max_size=3 * PIECE), st.lists(FATES, max_size=5))
def test_a_caller_may_say_where_it_goes_on(data, fates):
    job = Job(*fates)
    job.taken = b"before"
    assert send(job, data, 6) == 6 + len(data)
    assert job.taken == b"before" + data


def test_a_call_that_is_made_again_when_the_job_is_over_tells_that_all_was_taken():
    def over(_: Request) -> Reply:
        return problem(409, "input_closed", offset=10)

    def again(data: bytes) -> list[int]:
        flow = sending.send(policy(Clock()), "j", data, 6, eof=True, resume=True)
        return drive(flow, over, Clock())

    assert again(b"last") == [10]
    with pytest.raises(InputClosed):
        again(b"longer")


@given(st.binary(max_size=4 * PIECE), st.integers(0, 4 * PIECE), st.lists(FATES, max_size=5))
def test_a_call_that_is_made_again_writes_what_is_missing(data, taken, fates):
    job = Job(*fates)
    job.taken = b"before" + data[:taken]
    clock = Clock()
    flow = sending.send(patient(clock), "j", data, 6, eof=True, resume=True)
    assert drive(flow, job, clock) == [6 + len(data)]
    assert job.taken == b"before" + data
    assert job.is_ended


@pytest.mark.parametrize("taken", [b"befor", b"beforexx"])
def test_a_call_that_is_made_again_after_others_have_written_is_refused(taken):
    job, clock = Job(), Clock()
    job.taken = taken
    with pytest.raises(InputOffset):
        drive(sending.send(policy(clock), "j", b"x", 6, eof=True, resume=True), job, clock)
    assert job.taken == taken


@pytest.mark.parametrize("offset", [0, 5, 7])
def test_a_wrong_offset_of_a_caller_is_refused_and_nothing_is_written(offset):
    job = Job()
    job.taken = b"before"
    with pytest.raises(InputOffset) as raised:
        send(job, b"data", offset)
    assert raised.value.offset == 6
    assert job.taken == b"before"


def test_others_who_write_before_the_first_byte_do_no_harm():
    class Busy(Job):
        def __call__(self, request: Request) -> Reply:
            if request.body and not self.taken:
                self.taken += b"others"
            return super().__call__(request)

    job = Busy()
    assert send(job, b"x" * 15) == 21
    assert job.taken == b"others" + b"x" * 15


def test_others_who_write_in_between_are_an_error():
    class Busy(Job):
        def __call__(self, request: Request) -> Reply:
            if len(self.taken) == PIECE:
                self.taken += b"others"
            return super().__call__(request)

    job = Busy()
    with pytest.raises(InputOffset):
        send(job, b"x" * 15)
    assert job.taken == b"x" * PIECE + b"others"


def test_a_job_that_has_closed_its_input_is_an_error():
    job = Job()
    job.is_ended = True
    with pytest.raises(InputClosed):
        send(job, b"x")


def test_a_job_without_input_is_an_error():
    with pytest.raises(NoInput):
        send(lambda _: problem(409, "no_input"), b"x")
