"""Writing into the standard input of a job, exactly once.

Each request says at which offset it goes on. After a cut it is sent again, and refused where the
service had taken some of it: the refusal says how much, and the rest follows. So nothing is written
twice and nothing is left out, as long as nobody else writes in the same moments.
"""

from __future__ import annotations

from typing import Final

from service.client.calls import Answer, call, decoded, once
from service.client.requests import send_request
from service.client.retrying import Attempts, Policy
from service.client.steps import Nothing
from service.errors import InputClosed, InputOffset
from service.jobs.views import InputTaken

# Bytes of one request: what is sent again after a cut, and what a job that reads slowly takes
# before its client takes the service for silent.
PIECE_BYTES: Final = 128 << 10


def send(
    policy: Policy,
    job_id: str,
    data: bytes,
    offset: int | None,
    *,
    eof: bool,
    resume: bool = False,
) -> Nothing[int]:
    """Write `data`, and with `eof` end the input; where it goes on then. It takes as long as the
    job needs to read. `offset` None: where it goes on now. With `resume` the same call was made
    before, by a caller that doesn't know how far it came: what was taken then isn't written again.

    Raises: UnknownJob, NoInput, JobNotRunning; InputOffset, when others have written, or the offset
        is wrong; InputClosed.
    """
    is_asked = offset is None
    try:
        at = (yield from _ask(policy, job_id)) if offset is None or resume else offset
    except InputClosed as exc:
        if offset is None or exc.offset != offset + len(data):
            raise
        return exc.offset  # it was all taken before
    if offset is not None and at != offset:
        if not offset <= at <= offset + len(data):
            raise InputOffset(job_id, at)
        data = data[at - offset :]
    for begin in range(0, max(1, len(data)), PIECE_BYTES):
        piece = data[begin : begin + PIECE_BYTES]
        is_last = begin + PIECE_BYTES >= len(data)
        if piece or eof:
            may_move = is_asked and not begin
            at = yield from _piece(
                policy, job_id, piece, at, eof=eof and is_last, may_move=may_move, resume=resume
            )
    return at


def _ask(policy: Policy, job_id: str) -> Nothing[int]:
    request = send_request(job_id, b"", None, eof=False)
    answer = yield from call(policy, request, is_patient=True)
    return decoded(answer, InputTaken).offset


def _piece(
    policy: Policy,
    job_id: str,
    piece: bytes,
    at: int,
    *,
    eof: bool,
    may_move: bool,
    resume: bool,
) -> Nothing[int]:
    """`may_move`: others may have written since the offset was asked for."""
    attempts, is_repeat = Attempts(policy, is_patient=True), resume
    end = at + len(piece)
    while True:
        request = send_request(job_id, piece, at, eof=eof)
        # An end alone that says its offset would be the repeat of one that a terminal had there.
        is_first_end = eof and not piece and may_move and not is_repeat
        got = yield from once(
            send_request(job_id, piece, None, eof=eof) if is_first_end else request
        )
        if isinstance(got, Answer):
            return decoded(got, InputTaken).offset
        if isinstance(got, InputOffset) and is_repeat and at < got.offset <= end:
            piece, at = piece[got.offset - at :], got.offset
            if not (piece or eof):
                return at
            attempts.progressed()
        elif isinstance(got, InputOffset) and may_move and not is_repeat:
            at, end = got.offset, got.offset + len(piece)
        elif isinstance(got, InputClosed) and is_repeat and got.offset == end:
            return end  # it was taken, and read
        else:
            yield from attempts.pause(got, request)
            is_repeat = True
