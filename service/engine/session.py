"""The worker's session with the supervisor, kept up: transport, and nothing about jobs.

A lost connection means that this process drives nothing more. It connects again at once, and starts
a supervisor when there is none. Listeners are called when a connection is made or lost.

While a supervisor reads nothing, requests are refused at once, and readiness says why. A candidate
for its place is started then, which wakes a supervisor that was stopped, and ends one that stays
silent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, overload

import structlog

import service
from service.engine.backoff import Backoff
from service.engine.heartbeat import Heartbeat
from service.engine.tasks import OwnedTasks
from service.errors import Unavailable
from service.link.from_supervisor import (
    EndKeptReply,
    Notification,
    Reply,
    ResizeReply,
    SupervisorHello,
)
from service.link.launch import SupervisorFailed, connect_or_start, start
from service.link.session import REPLY_TIMEOUT_S, ConnectionLost, SupervisorSession
from service.link.to_supervisor import EndKept, Kill, MakeLog, Publish, Resize
from service.settings import Settings

# Seconds until the next try when no supervisor can be started: something is broken on this host.
_RETRY_S: Final = 1.0
_SILENT: Final = "The supervisor doesn't answer."
_UNREACHABLE: Final = "The supervisor can't be reached."

_log = structlog.get_logger("jobrunner.engine")


class Listener(Protocol):
    """Called in the event loop; must return at once."""

    def connected(self, session: SupervisorSession, hello: SupervisorHello) -> None:
        """A connection is made, before this worker has introduced itself."""

    def lost(self) -> None:
        """The connection is gone, or was closed."""

    def awake(self) -> None:
        """A supervisor that was silent reads again."""


class KeptSession:
    """One in each worker."""

    def __init__(self, settings: Settings, stamp: Callable[[], None]) -> None:
        """`stamp` is called every few seconds of this loop."""
        self._settings = settings
        self._session: SupervisorSession | None = None
        self._hello: SupervisorHello | None = None
        self._receiver: Callable[[list[Notification]], None] = lambda _batch: None
        self._listeners: Sequence[Listener] = ()
        self._is_up = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._tasks = OwnedTasks()
        self._heartbeat = Heartbeat(stamp, self._awake, self._start_candidate)
        self._candidate: asyncio.Task[None] | None = None

    @property
    def hello(self) -> SupervisorHello:
        """That of the supervisor as it is now; there is one once `open` has returned."""
        assert self._hello is not None  # noqa: S101 - see above
        return self._hello

    @property
    def is_up(self) -> bool:
        return self._is_up.is_set()

    @property
    def draining_since(self) -> int | None:
        """When a drain began, in nanoseconds since the epoch; None: there is none."""
        return None if self._session is None else self._session.draining_since

    @property
    def trouble(self) -> str | None:
        """Why no job can be driven now."""
        if not self.is_up:
            return _UNREACHABLE
        return _SILENT if self._heartbeat.is_unheard else None

    async def open(
        self, receiver: Callable[[list[Notification]], None], listeners: Sequence[Listener]
    ) -> None:
        """Connect and keep connected. `receiver` is called with what the supervisor sends, the
        listeners in their order.

        Raises: SupervisorFailed, when the first connection fails.
        """
        self._receiver, self._listeners = receiver, listeners
        self._heartbeat.start()
        await self._connect()
        self._tasks.keep(self._keep, name="session")

    async def close(self) -> None:
        """Closing the connection hands all jobs over to another worker."""
        self._heartbeat.stop()
        await self._tasks.cancel()
        session, self._session = self._session, None
        self._is_up.clear()
        self._tell_lost()
        if session is not None:
            session.close()

    async def current(self) -> SupervisorSession:
        """The connection, waited for when it is down. Raises: Unavailable."""
        if self._session is None or not self.is_up:
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._is_up.wait()
            except TimeoutError as exc:
                raise Unavailable(_UNREACHABLE) from exc
        if self._heartbeat.is_unheard:
            raise Unavailable(_SILENT)
        assert self._session is not None  # noqa: S101 - it is up
        return self._session

    @overload
    async def request(self, message: EndKept, timeout_s: float) -> EndKeptReply: ...
    @overload
    async def request(self, message: Resize) -> ResizeReply: ...
    @overload
    async def request(self, message: Kill | MakeLog) -> Reply: ...
    async def request(self, message: Any, timeout_s: float = REPLY_TIMEOUT_S) -> Any:
        """Ask the supervisor; asked again when the connection is lost meanwhile, so `message` must
        be one that may come twice, or late. Raises: Unavailable.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    session = await self.current()
                    try:
                        return await session.request(message)
                    except ConnectionLost:
                        _log.info("request_repeated", request=message["type"])
        except TimeoutError as exc:
            raise Unavailable(_SILENT) from exc

    def send(self, message: Publish) -> None:
        """Without a connection nothing is sent."""
        if self._session is not None:
            self._session.send(message)

    async def _connect(self) -> None:
        settings = self._settings
        session, hello = await connect_or_start(
            settings.state_dir,
            cgroup=settings.cgroup,
            on_messages=self._receiver,
            on_lost=self._lost,
        )
        self._is_lost.clear()
        if not session.is_open:
            raise SupervisorFailed("the supervisor ended at once")
        self._session, self._hello = session, hello
        self._heartbeat.connected(session)
        for listener in self._listeners:
            listener.connected(session, hello)
        session.introduce(
            "worker",
            max_running=settings.max_running,
            max_pending=settings.max_pending,
            heartbeats=True,
        )
        self._is_up.set()
        if _numbers(hello["version"]) < _numbers(service.__version__) and not hello["jobs"]:
            # Idle and older than this release: it makes room, and the next one is ours.
            session.send({"type": "exit_if_idle"})
        _log.info("supervisor_connected", supervisor=hello["pid"], nonce=hello["nonce"])

    async def _keep(self) -> None:
        backoff = Backoff(_RETRY_S, _RETRY_S)
        while True:
            if self._session is not None:
                await self._is_lost.wait()
            try:
                await self._connect()
            except SupervisorFailed as exc:
                _log.error("supervisor_failed", error=str(exc))
                await backoff.pause()
            except Exception:  # noqa: BLE001 - as long as this worker lives
                _log.exception("connecting_failed")
                await backoff.pause()

    def _lost(self, session: SupervisorSession) -> None:
        if session is self._session:
            _log.warning("supervisor_lost")
            self._session = None
            self._is_up.clear()
            self._heartbeat.connected(None)
            self._tell_lost()
            self._is_lost.set()

    def _tell_lost(self) -> None:
        for listener in self._listeners:
            listener.lost()

    def _awake(self) -> None:
        for listener in self._listeners:
            listener.awake()

    def _start_candidate(self) -> None:
        if self._candidate is None or self._candidate.done():
            self._candidate = self._tasks.begin(self._run_candidate(), name="candidate")

    async def _run_candidate(self) -> None:
        try:
            await asyncio.to_thread(start, self._settings.state_dir, cgroup=self._settings.cgroup)
        except SupervisorFailed as exc:
            _log.error("supervisor_failed", error=str(exc))


@asynccontextmanager
async def reply_within(timeout_s: float) -> AsyncIterator[None]:
    """For requests to one supervisor, and no other: a lost connection or a missing reply ends the
    block. Raises: Unavailable.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except ConnectionLost as exc:
        raise Unavailable("The supervisor was lost meanwhile.") from exc
    except TimeoutError as exc:
        raise Unavailable(_SILENT) from exc


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
