"""What the messages of `GET /<ID>/ws` mean, without I/O: Kubernetes' channels, or bytes.

A message of v5 and v4 begins with the number of its channel. A client's text is taken as its bytes,
as PyPI's `kubernetes` sends text for a `str`. A status is Kubernetes' own kind of JSON.

Nothing in those tells a client what the job has taken of its input. So there is a subprotocol of
our own, whose input has offsets, and answers.

Source: `k8s.io/apimachinery/pkg/util/remotecommand/constants.go`; `k8s.io/client-go/tools/
remotecommand/v5.go`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from service.errors import BadHeader
from service.jobs import shell_status
from service.jobs.record import JobRecord
from service.jobs.states import State
from service.output.formats.encoder import Encoder
from service.output.formats.websocket import ChannelFrames, RawFrames, binary_frame


class Channel(IntEnum):
    """The first byte of a message."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    STATUS = 3
    RESIZE = 4
    CLOSE = 255  # v5: the second byte is the channel that the client closes


class Code(IntEnum):
    """Why a connection is closed. Source: RFC 6455, section 7.4.1."""

    ENDED = 1000
    GOING_AWAY = 1001
    UNSUPPORTED = 1003
    INVALID = 1007
    NOT_ALLOWED = 1008
    TOO_BIG = 1009
    CUT = 1011


class Input(msgspec.Struct, frozen=True):
    """Bytes for the job's standard input. `offset`: how much it must have taken before; None:
    however much, and nobody is told what became of them.
    """

    data: bytes
    offset: int | None = None


class EndOfInput(msgspec.Struct, frozen=True):
    """Nothing comes after what came."""


class Resize(msgspec.Struct, frozen=True):
    """The size of the client's terminal."""

    rows: int
    cols: int


Message: TypeAlias = Input | EndOfInput | Resize


class BadMessage(Exception):
    """A message that means nothing; the connection is closed with `code` and `reason`."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


# Bytes of a message of input with an offset: so many are taken whole, or not at all.
MAX_EXACT_BYTES: Final = 64 << 10
_OFFSET: Final = struct.Struct(">Q")
_MAX_OFFSET: Final = 2**63 - 1

_Cells = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]


class _Size(msgspec.Struct, rename="pascal"):
    width: _Cells
    height: _Cells


class Subprotocol(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is empty for bytes both ways; `closes_channels`: the client can end its input;
    `has_offsets`: input says where it belongs, and is answered.
    """

    name: str = ""
    closes_channels: bool = False
    has_offsets: bool = False

    def encoder(self) -> Encoder:
        """What makes frames of output."""
        return ChannelFrames() if self.name else RawFrames()

    def read(self, message: bytes) -> Message | None:
        """What a client says; None: nothing. Raises: BadMessage."""
        if not self.name or not message:
            return Input(message) if message else None
        channel, payload = message[0], message[1:]
        if channel == Channel.STDIN and self.has_offsets:
            return _exact(payload)
        if channel == Channel.STDIN:
            return Input(payload) if payload else None
        if channel == Channel.RESIZE:
            return _size(payload)
        if channel == Channel.CLOSE and self.closes_channels:
            if len(payload) != 1:
                raise BadMessage(
                    Code.INVALID, f"channel 255: expected one byte, got {len(payload)}"
                )
            return EndOfInput() if payload[0] == Channel.STDIN else None
        expected = "0 (stdin), 4 (resize)" + (" or 255 (close)" if self.closes_channels else "")
        raise BadMessage(Code.UNSUPPORTED, f"channel {channel}: expected {expected}")

    def end(self, record: JobRecord) -> bytes:
        """The frame behind the last output of a job that has ended."""
        if not self.name:
            return b""
        return binary_frame(msgspec.json.encode(status(record)), Channel.STATUS.to_bytes())

    def answer(self, taken: int, *, is_refused: bool, is_closed: bool = False) -> bytes:
        """The frame that answers input with an offset: how much the job has taken in all, and
        whether it takes no more.
        """
        told = {"Offset": taken, "Refused": is_refused} | ({"Closed": True} if is_closed else {})
        return binary_frame(msgspec.json.encode(told), Channel.STDIN.to_bytes())


RAW: Final = Subprotocol()
EXACT: Final = Subprotocol(name="v1.channel.jobrunner", has_offsets=True)
KUBERNETES: Final = (
    Subprotocol(name="v5.channel.k8s.io", closes_channels=True),
    Subprotocol(name="v4.channel.k8s.io"),
)
# The first one that a client offers, too, is taken.
_KNOWN: Final = (EXACT, *KUBERNETES)


def negotiated(offered: Iterable[str]) -> Subprotocol:
    """The one that is spoken with a client that offers these. Raises: BadHeader."""
    names = list(offered)
    if not names:
        return RAW
    for known in _KNOWN:
        if known.name in names:
            return known
    expected = ", ".join(known.name for known in _KNOWN)
    raise BadHeader(
        f"Sec-WebSocket-Protocol: expected one of {expected}, or no such header for bytes both"
        f" ways; got {', '.join(names)[:80]!r}."
    )


def status(record: JobRecord) -> dict[str, Any]:
    """How a job ended, as Kubernetes tells it of a command."""
    code = shell_status.of_job(record)
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    has_code = code == record.exit_code and record.state is State.EXITED
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode" if record.error is None else "InternalError",
        "message": f"the job exited with {code}" if has_code else _why(record),
        # Clients read the code from here, and fail where it isn't.
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _why(record: JobRecord) -> str:
    if record.error is not None:
        return record.error
    because = f" ({record.reason.value})" if record.reason is not None else ""
    by = f" by {record.signal}" if record.signal is not None else ""
    return f"the job was {'killed' if record.reason else 'ended'}{by}{because}"


def _exact(payload: bytes) -> Input:
    if len(payload) < _OFFSET.size:
        raise BadMessage(Code.INVALID, "channel 0: expected an offset of 8 bytes before the input")
    data = payload[_OFFSET.size :]
    if len(data) > MAX_EXACT_BYTES:
        raise BadMessage(Code.TOO_BIG, f"channel 0: more than {MAX_EXACT_BYTES} bytes of input")
    (offset,) = _OFFSET.unpack_from(payload)
    if offset > _MAX_OFFSET:
        raise BadMessage(Code.INVALID, f"channel 0: an offset beyond {_MAX_OFFSET}")
    return Input(data, offset)


def _size(payload: bytes) -> Resize | None:
    try:
        size = msgspec.json.decode(payload, type=_Size)
    except msgspec.MsgspecError as exc:
        expected = 'expected {"Width": 0 to 65535, "Height": 0 to 65535}'
        raise BadMessage(Code.INVALID, f"channel 4: {expected}") from exc
    # 0: a terminal whose size nobody knows.
    return Resize(size.height, size.width) if size.height and size.width else None
