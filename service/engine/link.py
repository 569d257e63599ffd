"""The worker's connection to the supervisor, kept up.

A lost connection means that this process drives nothing more. It connects again at once, starts a
supervisor when there is none, and then claims what is live in the store and in no register: what a
dead supervisor left.

While a supervisor reads nothing, requests are refused at once, and readiness says why. It is called
by a candidate for its place, which wakes one that was stopped, and ends one that stays silent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final, overload

import structlog

import service
from service.engine.heartbeat import Heartbeat
from service.engine.orphans import remove_orphans
from service.engine.owner import Owner
from service.engine.record_writer import RecordWriter
from service.engine.recovery import Recovery
from service.errors import JobrunnerError, Unavailable
from service.link.from_supervisor import ClaimReply, OrphanedLogReply, Reply, SupervisorHello
from service.link.launch import SupervisorFailed, connect_or_start, start
from service.link.session import REPLY_TIMEOUT_S, ConnectionLost, SupervisorSession
from service.link.to_supervisor import Claim, CloseOrphanedLog, Kill, MakeLog
from service.settings import Settings
from service.store import Store

# Seconds until the next try when no supervisor can be started: something is broken on this host.
_RETRY_S: Final = 1.0
# Seconds for the log of a job of a dead supervisor to be mended; it may be long.
_CLOSE_LOG_S: Final = 60.0
_SILENT: Final = "The supervisor doesn't answer."
_UNREACHABLE: Final = "The supervisor can't be reached."

_log = structlog.get_logger("jobrunner.engine")


class Link:
    """Keeps `owner` connected; `on_gap` is called when notices may have been missed."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        owner: Owner,
        on_gap: Callable[[], None],
        writer: RecordWriter,
        stamp: Callable[[], None] = lambda: None,
    ) -> None:
        """`stamp` is called every few seconds of this loop."""
        self._settings = settings
        self._store = store
        self._owner = owner
        self._on_gap = on_gap
        self._connection: SupervisorSession | None = None
        self._connected = asyncio.Event()
        self._hello: SupervisorHello | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._heartbeat = Heartbeat(stamp, self._carry_out_kills, self._call_soon)
        self._calling: asyncio.Task[None] | None = None
        self._trouble: str | None = None  # why jobs couldn't be taken over yet
        self._recovery = Recovery(settings, store, owner, self._ask, writer)
        self._settling: set[asyncio.Task[None]] = set()
        owner.needs_recovery = self._settle_soon

    @property
    def hello(self) -> SupervisorHello:
        """That of the supervisor as it is now; there is one once `open` has returned."""
        assert self._hello is not None  # noqa: S101 - see above
        return self._hello

    @property
    def is_up(self) -> bool:
        return self._connected.is_set()

    @property
    def trouble(self) -> str | None:
        """Why no job could be driven now, or jobs of a dead supervisor couldn't be taken over."""
        if not self.is_up:
            return _UNREACHABLE
        return _SILENT if self._heartbeat.is_unheard else self._trouble

    @property
    def damaged(self) -> int:
        """How many jobs this worker has ended as their records couldn't be read."""
        return self._recovery.damaged + self._owner.damaged

    async def open(self) -> None:
        """Connect and keep connected. Raises: SupervisorFailed, when the first connection fails."""
        self._heartbeat.start()
        hello = await self._connect()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(hello))

    async def close(self) -> None:
        """Hand everything over: closing the connection is the hand-over."""
        self._heartbeat.stop()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        connection, self._connection = self._connection, None
        self._connected.clear()
        self._owner.lost()
        if connection is not None:
            connection.close()

    async def connection(self) -> SupervisorSession:
        """The connection, waited for when it is down. Raises: Unavailable."""
        if self._connection is None or not self.is_up:
            try:
                await asyncio.wait_for(self._connected.wait(), REPLY_TIMEOUT_S)
            except TimeoutError as exc:
                raise Unavailable(_UNREACHABLE) from exc
        if self._heartbeat.is_unheard:
            raise Unavailable(_SILENT)
        assert self._connection is not None  # noqa: S101 - it is connected
        return self._connection

    async def request(self, message: Kill | MakeLog) -> Reply:
        """Ask the supervisor; asked again when the connection is lost meanwhile, so `message` must
        be one that may come twice, or late. Raises: Unavailable.
        """
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                while True:
                    connection = await self.connection()
                    try:
                        return await connection.request(message)
                    except ConnectionLost:
                        _log.info("request_repeated", request=message["type"])
        except TimeoutError as exc:
            raise Unavailable(_SILENT) from exc

    @overload
    async def _ask(self, message: Claim) -> ClaimReply: ...
    @overload
    async def _ask(self, message: CloseOrphanedLog) -> OrphanedLogReply: ...
    @overload
    async def _ask(self, message: Kill) -> Reply: ...
    async def _ask(self, message: Any) -> Any:
        """The same for the recovery, asked once: it is begun anew with the next connection, and who
        makes that waits for it. Raises: Unavailable.
        """
        if self._connection is None:
            raise Unavailable(_UNREACHABLE)
        try:
            async with asyncio.timeout(
                _CLOSE_LOG_S if message["type"] == "close_orphaned_log" else REPLY_TIMEOUT_S
            ):
                return await self._connection.request(message)
        except ConnectionLost as exc:
            raise Unavailable("The supervisor was lost meanwhile.") from exc
        except TimeoutError as exc:
            raise Unavailable(_SILENT) from exc

    async def _connect(self) -> SupervisorHello:
        connection, hello = await connect_or_start(
            self._settings.state_dir,
            cgroup=self._settings.cgroup,
            on_messages=self._owner.received,
            on_lost=self._was_lost,
        )
        self._lost.clear()
        if not connection.is_open:
            raise SupervisorFailed("the supervisor ended at once")
        self._connection, self._hello = connection, hello
        self._owner.connected(connection)
        self._heartbeat.connected(connection)
        connection.introduce(
            "worker",
            max_running=self._settings.max_running,
            max_pending=self._settings.max_pending,
            heartbeats=True,
        )
        self._connected.set()
        self._on_gap()  # other workers may have been connected, and have told of changes, before
        if _numbers(hello["version"]) < _numbers(service.__version__) and not hello["jobs"]:
            # Idle and older than this release: it makes room, and the next one is ours.
            connection.send({"type": "exit_if_idle"})
        _log.info("supervisor_connected", supervisor=hello["pid"], nonce=hello["nonce"])
        return hello

    async def _keep(self, hello: SupervisorHello) -> None:
        while True:
            self._trouble = await self._recover(hello)
            if self._trouble is not None:
                await self._pause()
                if self.is_up:
                    continue
            else:
                self._keep_task(self._in_peace(remove_orphans(self._settings, self._store)))
            await self._lost.wait()
            while True:
                try:
                    hello = await self._connect()
                    break
                except Exception as exc:  # noqa: BLE001 - tried again as long as this worker lives
                    if not isinstance(exc, SupervisorFailed):
                        _log.exception("connecting_failed")
                    _log.error("supervisor_failed", error=str(exc))
                    await self._pause()

    async def _recover(self, hello: SupervisorHello) -> str | None:
        """What a dead supervisor left; why it has to be tried again."""
        try:
            await self._recovery.run(registered=set(hello["jobs"]))
        except JobrunnerError as exc:
            _log.error("recovery_failed", error=exc.detail)
            why = exc.detail
        except Exception as exc:  # noqa: BLE001 - as above
            _log.exception("recovery_failed")
            why = repr(exc)
        else:
            return None
        return f"Jobs of an earlier supervisor can't be taken over: {why}"

    def _call_soon(self) -> None:
        if self._calling is None or self._calling.done():
            self._calling = self._keep_task(self._in_peace(self._call()))

    async def _call(self) -> None:
        """Have a candidate look after a supervisor that is silent."""
        try:
            await asyncio.to_thread(start, self._settings.state_dir, cgroup=self._settings.cgroup)
        except SupervisorFailed as exc:
            _log.error("supervisor_failed", error=str(exc))

    def _carry_out_kills(self) -> None:
        self._keep_task(self._in_peace(self._recovery.carry_out_kills()))

    async def _in_peace(self, work: Coroutine[Any, Any, None]) -> None:
        """What fails here is tried again when the supervisor is reached the next time."""
        try:
            await work
        except Exception:  # noqa: BLE001 - nobody awaits this task
            _log.exception("background_failed")

    def _settle_soon(self, job_id: str, has_turn: bool) -> None:  # noqa: FBT001 - a callback
        self._keep_task(self._settle(job_id, has_turn=has_turn))

    def _keep_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task

    async def _settle(self, job_id: str, *, has_turn: bool) -> None:
        """End, or go on with, a job whose recovery its last owner had begun."""
        connection = self._connection
        while (
            connection is not None and connection is self._connection
        ):  # else it has another owner
            try:
                await self._recovery.take_over(job_id, has_turn=has_turn)
            except JobrunnerError as exc:
                _log.error("recovery_failed", job=job_id, error=exc.detail)
                await self._pause()
            except Exception:  # noqa: BLE001 - as above
                _log.exception("recovery_failed", job=job_id)
                await self._pause()
            else:
                return

    async def _pause(self) -> None:
        """Until the next try of what just failed."""
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(_RETRY_S, passed.set)
        await passed.wait()

    def _was_lost(self, connection: SupervisorSession) -> None:
        if connection is self._connection:
            _log.warning("supervisor_lost")
            self._connected.clear()
            self._connection = None
            self._heartbeat.connected(None)
            self._owner.lost()
            self._on_gap()
            self._lost.set()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
