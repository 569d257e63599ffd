"""What a connection sends is taken in turns, and not at all while nobody can take it."""

from __future__ import annotations

import pytest
from log_readers import turn

from service.web.intake import Intake

pytestmark = pytest.mark.once


class Transport:
    def __init__(self) -> None:
        self.is_reading = True
        self.is_closed = False

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True


class Frames:
    """Takes frames of one byte, or of none that end."""

    def __init__(self, *, are_small: bool = True) -> None:
        self.transport = Transport()
        self.intake = Intake(self.transport, self.take)
        self.taken = b""
        self.most = 1 << 30
        self._are_small = are_small

    def take(self, data: bytes) -> int:
        self.taken += data
        if len(self.taken) >= self.most:
            self.intake.hold()
        return len(data) if self._are_small else 0


async def test_others_have_a_turn_between_many_small_frames() -> None:
    frames = Frames()
    data = bytes(range(256)) * 1000
    frames.intake.received(data)
    turns = 0
    while frames.taken != data:
        assert not frames.transport.is_reading
        before = len(frames.taken)
        await turn()
        assert len(frames.taken) - before <= 1 << 13
        turns += 1
    assert turns > 25
    assert frames.transport.is_reading


async def test_a_large_frame_is_taken_at_once() -> None:
    frames = Frames(are_small=False)
    frames.intake.received(bytes(1 << 18))
    assert len(frames.taken) == 1 << 18
    assert frames.transport.is_reading


async def test_what_is_held_is_taken_later_and_in_order() -> None:
    frames = Frames(are_small=False)
    frames.most = 1
    data = bytes(range(256)) * 100
    frames.intake.received(data)
    await turn()
    assert 0 < len(frames.taken) < len(data)
    assert not frames.transport.is_reading
    frames.most = 1 << 30
    frames.intake.release()
    for _ in range(3):
        await turn()
    assert frames.taken == data
    assert frames.transport.is_reading


async def test_a_closing_connection_is_neither_paused_nor_resumed() -> None:
    frames = Frames()
    frames.transport.is_closed = True
    frames.intake.received(bytes(10_000))
    frames.intake.hold()
    frames.intake.release()
    assert frames.transport.is_reading
