"""A claim: a job in the supervisor's register that becomes this worker's, or is let go of.

    with driver.claim(job_id) as claim:
        reply = await claim.request(session, message)
        ...
        claim.own(job)

Rules
1. While a claim is open, messages about its job are parked: its slot or its end may come before its
   record is stored.
2. Left with `own`, the job is this worker's, and takes in what is parked. Left otherwise, a granted
   claim is released, and what is parked of a refused one is given back.
3. A claim whose caller gave up before the reply stays open until the reply comes.
4. A lost connection ends all claims: the register hands those jobs to another worker.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Self

from service.engine.live_job import LiveJob
from service.jobs.states import State
from service.link import to_supervisor
from service.link.from_supervisor import ClaimReply, Notification
from service.link.session import SupervisorSession


class _Status(Enum):
    UNASKED = auto()
    ASKED = auto()
    REFUSED = auto()
    GRANTED = auto()


class Claim:
    """Made by `Driver.claim`; `has_slot` once it is granted. `job` and `final_state` say how it was
    left: the job is driven here, or ended without the supervisor.
    """

    __slots__ = ("_on_left", "_status", "final_state", "has_slot", "job", "job_id", "parked")

    def __init__(self, job_id: str, on_left: Callable[[Claim], None]) -> None:
        """`on_left` is called when the scope is left, and again when the reply comes after that."""
        self.job_id = job_id
        self.has_slot = False
        self.job: LiveJob | None = None
        self.final_state: State | None = None
        self.parked: list[Notification] = []
        self._on_left = on_left
        self._status = _Status.UNASKED

    @classmethod
    def adopted(cls, job_id: str, on_left: Callable[[Claim], None], *, has_slot: bool) -> Claim:
        """A claim on a job that the supervisor has handed to this worker."""
        claim = cls(job_id, on_left)
        claim._status = _Status.GRANTED
        claim.has_slot = has_slot
        return claim

    @property
    def is_granted(self) -> bool:
        return self._status is _Status.GRANTED

    @property
    def is_unanswered(self) -> bool:
        return self._status is _Status.ASKED

    async def request(self, session: SupervisorSession, message: to_supervisor.Claim) -> ClaimReply:
        """Ask the supervisor for the job. Raises: ConnectionLost."""
        self._status = _Status.ASKED
        try:
            reply = await session.request(message, on_late=self._answered_late)
        except Exception:
            self._status = _Status.REFUSED
            raise
        self._answered(reply)
        return reply

    def own(self, job: LiveJob) -> None:
        """The job is stored, and this worker's from now on."""
        self.job = job

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._on_left(self)

    def _answered(self, reply: ClaimReply) -> None:
        self._status = _Status.GRANTED if reply["ok"] else _Status.REFUSED
        self.has_slot = reply.get("has_slot", False)

    def _answered_late(self, reply: ClaimReply) -> None:
        self._answered(reply)
        self._on_left(self)
