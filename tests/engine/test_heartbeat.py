"""Who is told that the supervisor is silent, and when it is awake again."""

import pytest

from service.engine.heartbeat import INTERVAL_S, Heartbeat


class Connection:
    """To a supervisor that is silent for as long as the test says."""

    def __init__(self):
        self.silent = 0.0
        self.sent = []

    def silent_s(self):
        return self.silent

    def send(self, message):
        self.sent.append(message)


@pytest.fixture
def calls():
    return []


@pytest.fixture
async def heartbeat(calls):
    heartbeat = Heartbeat(
        lambda: None, lambda: calls.append("awake"), lambda: calls.append("silence")
    )
    yield heartbeat
    heartbeat.stop()


async def test_a_silent_supervisor_is_called_at_the_second_beat_and_told_of_when_awake(
    heartbeat, calls
):
    connection = Connection()
    heartbeat.connected(connection)
    heartbeat._beat()
    connection.silent = INTERVAL_S
    heartbeat._beat()
    assert (heartbeat.is_unheard, calls) == (True, [])
    connection.silent = 2 * INTERVAL_S
    heartbeat._beat()
    assert calls == ["silence"]
    connection.silent = 0.0
    assert not heartbeat.is_unheard
    heartbeat._beat()
    assert calls == ["silence", "awake"]
    assert connection.sent == [{"type": "heartbeat"}] * 2, "a silent one is sent no more"


async def test_bytes_that_were_sent_just_before_a_beat_are_no_silence(heartbeat, calls):
    connection = Connection()
    heartbeat.connected(connection)
    connection.silent = 0.01
    heartbeat._beat()
    assert not heartbeat.is_unheard
    assert connection.sent == [{"type": "heartbeat"}]
