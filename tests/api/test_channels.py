"""The messages of `GET /<ID>/ws`, and the status behind the output."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.channels import (
    EXACT,
    KUBERNETES,
    RAW,
    BadMessage,
    EndOfInput,
    Input,
    Resize,
    negotiated,
    status,
)
from service.errors import BadHeader
from service.jobs.record import JobRecord, Kill
from service.jobs.states import Reason, State

pytestmark = pytest.mark.once
V5, V4 = KUBERNETES


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ([], RAW),
        (["v4.channel.k8s.io"], V4),
        (["v4.channel.k8s.io", "v5.channel.k8s.io"], V5),
        (["v5.channel.k8s.io", "channel.k8s.io"], V5),
        (["base64.channel.k8s.io", "v4.channel.k8s.io"], V4),
        (["v5.channel.k8s.io", "v1.channel.jobrunner"], EXACT),
    ],
)
def test_the_newest_that_both_speak_is_spoken(offered: list[str], expected: Any) -> None:
    assert negotiated(offered) is expected


def test_a_client_of_another_subprotocol_is_told_which_there_are() -> None:
    with pytest.raises(BadHeader) as caught:
        negotiated(["channel.k8s.io", "graphql-ws"])
    for word in ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io, graphql-ws"):
        assert word in caught.value.detail


@given(st.binary())
def test_bytes_are_input_as_they_are(message: bytes) -> None:
    assert RAW.read(message) == (Input(message) if message else None)


@pytest.mark.parametrize("protocol", [V5, V4])
@given(data=st.binary())
def test_channel_0_is_input(protocol: Any, data: bytes) -> None:
    assert protocol.read(b"\x00" + data) == (Input(data) if data else None)


@given(offset=st.integers(0, 2**63 - 1), data=st.binary())
def test_input_of_our_own_protocol_says_where_it_belongs(offset: int, data: bytes) -> None:
    assert EXACT.read(b"\x00" + offset.to_bytes(8) + data) == Input(data, offset)


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"", 1007), (bytes(7), 1007), (b"\xff" * 8, 1007), (bytes(8 + 65_537), 1009)],
)
def test_input_without_a_good_offset_or_of_too_much_is_refused(said: bytes, code: int) -> None:
    with pytest.raises(BadMessage) as caught:
        EXACT.read(b"\x00" + said)
    assert caught.value.code == code


@pytest.mark.parametrize("protocol", [V5, V4, EXACT])
@given(rows=st.integers(0, 0xFFFF), cols=st.integers(0, 0xFFFF))
def test_channel_4_is_the_size_of_a_terminal(protocol: Any, rows: int, cols: int) -> None:
    said = b"\x04" + json.dumps({"Width": cols, "Height": rows, "More": 1}).encode()
    assert protocol.read(said) == (Resize(rows, cols) if rows and cols else None)


@pytest.mark.parametrize(
    "said",
    [b"", b"{}", b"[]", b'{"Width":1}', b'{"Width":-1,"Height":1}', b'{"Width":65536,"Height":1}',
     b'{"Width":"1","Height":1}', b'{"Width":1.5,"Height":1}', b"\xff"],
)  # fmt: skip
def test_a_size_that_is_none_is_refused_in_words(said: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        V5.read(b"\x04" + said)
    assert caught.value.code == 1007
    assert "Width" in caught.value.reason


def test_channel_255_of_v5_closes_another() -> None:
    assert V5.read(b"\xff\x00") == EndOfInput()
    assert V5.read(b"\xff\x01") is None  # its output is what there is
    for said in (b"\xff", b"\xff\x00\x00"):
        with pytest.raises(BadMessage) as caught:
            V5.read(said)
        assert caught.value.code == 1007
    with pytest.raises(BadMessage) as caught:
        V4.read(b"\xff\x00")
    assert caught.value.code == 1003


@pytest.mark.parametrize("protocol", [V5, V4, EXACT])
@given(message=st.binary())
def test_any_message_means_something_or_is_refused_in_few_words(
    protocol: Any, message: bytes
) -> None:
    try:
        said = protocol.read(message)
    except BadMessage as exc:
        assert len(exc.reason.encode()) <= 123  # of a close frame
        assert exc.code in (1003, 1007)
    else:
        assert said is None or isinstance(said, Input | Resize | EndOfInput)


def ended(**more: Any) -> JobRecord:
    given: dict[str, Any] = {"state": State.EXITED, **more}
    return JobRecord(id="1", created_at=0, spec=b"{}", commands=(), **given)


KILL = Kill(reason=Reason.REQUESTED, requested_at=0, signal="SIGINT", grace_s=1.0)


@pytest.mark.parametrize(
    ("record", "code", "reason"),
    [
        (ended(exit_code=7), 7, "NonZeroExitCode"),
        (ended(signal="SIGSEGV"), 139, "NonZeroExitCode"),
        (ended(signal="SIGRTMIN+1"), 163, "NonZeroExitCode"),
        (ended(state=State.KILLED, reason=Reason.REQUESTED, signal="SIGKILL"), 137, "NonZeroExitCode"),
        (ended(state=State.KILLED, reason=Reason.REQUESTED, kill=KILL), 130, "NonZeroExitCode"),
        (ended(state=State.KILLED, reason=Reason.REQUESTED, exit_code=0, kill=KILL), 130, "NonZeroExitCode"),
        (ended(state=State.KILLED, reason=Reason.TIMEOUT, signal="SIGTERM"), 124, "NonZeroExitCode"),
        (ended(error="There is no bash."), 125, "InternalError"),
        (ended(state=State.KILLED, reason=Reason.LOST), 125, "NonZeroExitCode"),
    ],
)  # fmt: skip
def test_a_status_has_the_code_where_kubernetes_clients_look_for_it(
    record: JobRecord, code: int, reason: str
) -> None:
    told = status(record)
    assert (told["status"], told["reason"]) == ("Failure", reason)
    assert told["details"]["causes"] == [{"reason": "ExitCode", "message": str(code)}]
    assert told["message"]


def test_a_job_that_exits_with_0_succeeded_and_bytes_have_no_status() -> None:
    assert status(ended(exit_code=0)) == {"metadata": {}, "status": "Success"}
    assert RAW.end(ended(exit_code=0)) == b""
