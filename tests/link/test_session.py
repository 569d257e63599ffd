"""A session with a supervisor: what it asks, hears, and does with what it doesn't understand."""

import asyncio
import os

import pytest

from service.link.frames import Frames, encode
from service.link.launch import SupervisorFailed, connect_or_start
from service.link.protocol import PROTOCOL
from service.link.session import ConnectionLost, OtherProtocol, RequestRejected, SupervisorSession

HELLO = {
    "type": "hello",
    "protocol": PROTOCOL,
    "version": "0.0.1",
    "nonce": "n",
    "upgrades": 0,
    "pid": 1,
    "capabilities": [],
    "unsupported_limits": {},
    "jobs": [],
}
FUSE_S = 300


class Supervisor:
    """The other end of the socket: it says `hello`, and answers what a test tells it to."""

    def __init__(self, hello):
        self.hello = hello
        self.received = asyncio.Queue()
        self.writer = None
        self.ended = asyncio.Event()

    async def serve(self, reader, writer):
        self.writer = writer
        try:
            await self.speak(reader, writer)
        except ConnectionResetError:
            pass
        finally:
            writer.close()
            self.ended.set()

    async def speak(self, reader, writer):
        writer.write(encode(self.hello))
        frames = Frames()
        while data := await reader.read(65536):
            for message in frames.feed(data):
                self.received.put_nowait(message)

    def send(self, **message):
        self.writer.write(encode(message))


@pytest.fixture
async def opened(tmp_path):
    """Opens a session with a supervisor that says this hello."""
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    servers, supervisors, sessions = [], [], []

    async def open_session(hello=HELLO):
        supervisor = Supervisor(hello)
        supervisors.append(supervisor)
        path = str(tmp_path / "supervisor.sock")
        servers.append(await asyncio.start_unix_server(supervisor.serve, path))
        batches = asyncio.Queue()
        session, _ = await SupervisorSession.open(
            directory, batches.put_nowait, lambda _: batches.put_nowait("lost")
        )
        sessions.append(session)
        return supervisor, session, batches

    yield open_session
    for session in sessions:
        session.close()
    for supervisor in supervisors:
        await within(supervisor.ended.wait())
    for server in servers:
        server.close()
        await server.wait_closed()
    os.close(directory)


async def within(awaitable):
    async with asyncio.timeout(FUSE_S):
        return await awaitable


async def test_a_worker_introduces_itself_with_the_bounds_of_the_service(opened):
    supervisor, session, _ = await opened()
    session.introduce("worker", heartbeats=True, max_running=3, max_pending=4)
    session.introduce("operator")
    common = {"type": "hello", "protocol": PROTOCOL, "pid": os.getpid()}
    bounds = {"heartbeats": True, "max_running": 3, "max_pending": 4}
    assert await within(supervisor.received.get()) == {**common, "role": "worker", **bounds}
    assert await within(supervisor.received.get()) == {**common, "role": "operator"}


async def test_a_timeout_that_passes_as_the_hello_comes_is_not_forgotten(tmp_path):
    """Else what follows the opening would have no bound."""

    class Cancelled(SupervisorSession):
        def data_received(self, data):
            super().data_received(data)
            assert self._hello.done()
            opening.cancel()
            self.close()

    supervisor = Supervisor(HELLO)
    path = tmp_path / "supervisor.sock"
    async with await asyncio.start_unix_server(supervisor.serve, path):
        directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            opening = asyncio.create_task(Cancelled.open(directory, print, lambda _: None))
            with pytest.raises(asyncio.CancelledError):
                await opening
        finally:
            os.close(directory)
        await within(supervisor.ended.wait())


@pytest.mark.parametrize("protocol", [PROTOCOL - 1, PROTOCOL + 1, "x", None])
async def test_a_supervisor_of_another_protocol_is_refused(opened, protocol):
    with pytest.raises(OtherProtocol, match=f"speaks protocol {protocol}, this release"):
        await opened({**HELLO, "protocol": protocol})


async def test_a_hello_that_lacks_a_key_is_refused_with_its_name(opened):
    with pytest.raises(OtherProtocol, match="`nonce` is missing"):
        await opened({key: value for key, value in HELLO.items() if key != "nonce"})


async def test_a_supervisor_of_another_protocol_is_not_replaced(opened, tmp_path):
    with pytest.raises(OtherProtocol):
        await opened({"type": "hello", "protocol": PROTOCOL + 1})
    with pytest.raises(SupervisorFailed, match="speaks protocol"):
        await connect_or_start(tmp_path, cgroup="off", on_messages=print, on_lost=print)
    assert not (tmp_path / "supervisor.log").exists(), "none is started"


async def test_a_reply_goes_to_its_request_whatever_the_order(opened):
    supervisor, session, _ = await opened()
    requests = [
        asyncio.ensure_future(session.request({"type": "claim", "job": job})) for job in "ab"
    ]
    ids = {}
    for _ in requests:
        message = await within(supervisor.received.get())
        ids[message["job"]] = message["request_id"]
    supervisor.send(type="reply", request_id=ids["b"], ok=False, why="fair_share")
    supervisor.send(type="reply", request_id=ids["a"], ok=True, has_slot=True)
    first, second = await within(asyncio.gather(*requests))
    assert (first["ok"], first["has_slot"]) == (True, True)
    assert (second["ok"], second["why"]) == (False, "fair_share")


async def test_a_rejected_request_fails_with_the_reason(opened):
    supervisor, session, _ = await opened()
    request = asyncio.ensure_future(session.request({"type": "make_log", "job": "job"}))
    request_id = (await within(supervisor.received.get()))["request_id"]
    error = "make_log: it isn't so"
    supervisor.send(type="rejected", rejected="make_log", error=error, request_id=request_id)
    with pytest.raises(RequestRejected, match=error):
        await within(request)
    assert session.is_open


async def test_a_late_rejection_of_a_claim_is_a_refusal(opened):
    supervisor, session, _ = await opened()
    late = asyncio.get_running_loop().create_future()
    request = asyncio.ensure_future(
        session.request({"type": "claim", "job": "job"}, on_late=late.set_result)
    )
    request_id = (await within(supervisor.received.get()))["request_id"]
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    supervisor.send(type="rejected", rejected="claim", error="No.", request_id=request_id)
    assert (await within(late))["ok"] is False


async def test_requests_under_way_fail_with_the_connection(opened):
    supervisor, session, batches = await opened()
    request = asyncio.ensure_future(session.request({"type": "make_log", "job": "job"}))
    await within(supervisor.received.get())
    supervisor.writer.transport.abort()
    with pytest.raises(ConnectionLost):
        await within(request)
    assert await within(batches.get()) == "lost"
    with pytest.raises(ConnectionLost):
        await session.request({"type": "make_log", "job": "job"})


async def test_notifications_come_in_order_and_what_is_not_understood_is_rejected(opened):
    supervisor, session, batches = await opened()
    supervisor.send(type="slot_granted", job="a")
    supervisor.send(type="novelty", job="a")
    supervisor.send(type="slot_granted", job=1)
    supervisor.send(type="job_changed", job="b", state="exited")
    got = []
    while len(got) < 3:
        got += await within(batches.get())
    assert [message["type"] for message in got] == ["slot_granted", "rejected", "job_changed"]
    assert got[1]["error"] == "slot_granted: `job`: expected a string"
    assert session.is_open


async def test_a_stream_without_frames_is_closed(opened):
    supervisor, _, batches = await opened()
    supervisor.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert await within(batches.get()) == "lost"
