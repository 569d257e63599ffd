"""For how long a peer has read nothing: measured on a real socket, with a clock of the test's own."""

import fcntl
import itertools
import socket
import struct
from dataclasses import dataclass, field

import pytest

from service.link.unread import UnreadTime

SIOCOUTQ = 0x5411  # Source: linux/sockios.h


@dataclass
class Wire:
    """A connection to a peer that reads when it is told to."""

    now: float = 1000.0
    numbers: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self):
        self.ours, self.peer = socket.socketpair()
        self.unread = UnreadTime(lambda: self.now, self.bytes)

    def bytes(self):
        return struct.unpack("i", fcntl.ioctl(self.ours, SIOCOUTQ, bytes(4)))[0]

    def send(self):
        self.unread.sending()
        self.ours.send(b"x")

    def read(self):
        self.peer.recv(1000)


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.ours.close()
    wire.peer.close()


def test_what_is_on_its_way_after_a_long_quiet_is_no_silence(wire):
    wire.send()
    wire.read()
    wire.now += 4.999
    wire.send()
    wire.now += 0.001
    assert wire.bytes() > 0
    assert wire.unread.seconds() == pytest.approx(0.001)


def test_a_peer_that_reads_nothing_is_silent_since_the_first_unread_byte(wire):
    wire.now += 100
    wire.send()
    for _ in range(5):
        wire.now += 2
        wire.send()
    assert wire.unread.seconds() == pytest.approx(10)
    wire.read()
    assert wire.unread.seconds() == 0


def test_a_peer_that_answers_is_not_silent(wire):
    wire.send()
    wire.now += 10
    wire.unread.received()
    assert wire.bytes() > 0
    assert wire.unread.seconds() == 0
    wire.now += 3
    assert wire.unread.seconds() == pytest.approx(3)


def test_the_time_is_known_to_a_second_however_often_is_sent(wire):
    for _ in range(100):
        wire.send()
        wire.read()
        wire.now += 0.1
    wire.send()
    wire.now += 5
    assert 5 <= wire.unread.seconds() < 6
