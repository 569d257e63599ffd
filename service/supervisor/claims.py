"""Whether a claim is accepted, and whether one more job may run.

The register knows slots and limits; this adds the service's bound on waiting jobs, the fair share
of it, and the descriptors that a running job takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.supervisor.job.log import JOB_DESCRIPTORS

if TYPE_CHECKING:
    from service.link.from_supervisor import ClaimRefusal
    from service.link.to_supervisor import Claim
    from service.supervisor.connection import Connection
    from service.supervisor.drain import Drain
    from service.supervisor.process.spawn import Descriptors
    from service.supervisor.register import Register

# Descriptors kept for connections, for looking through /proc, for what a spawn opens on its way,
# and for later commands of jobs whose earlier ones left something behind that holds their pipes.
SPARE_DESCRIPTORS: Final = 24


class Claims:
    """Accepts or refuses claims. At most `max_pending` jobs may wait for a slot; 0: any number."""

    def __init__(
        self, register: Register[Connection], descriptors: Descriptors, drain: Drain
    ) -> None:
        self._register = register
        self._descriptors = descriptors
        self._drain = drain
        self._counted_free = 0  # of those that were free at the last count, what jobs may take
        self.max_pending = 0

    def refusal(self, claim: Claim, *, may_run: bool) -> ClaimRefusal | None:
        """Why it is refused; None when it is accepted. `may_run`: see the method."""
        if self._register.get(claim["job"]) is not None:
            return "already_claimed"
        if claim.get("stored", False):
            return None  # it was accepted before: without a slot or descriptors it waits
        if self._drain.since is not None:
            return "draining"
        is_held = claim.get("held", False)
        if not may_run and self._register.has_free_slot and not is_held:
            return "no_descriptors"
        return self._why_it_may_not_wait(claim)

    def _why_it_may_not_wait(self, claim: Claim) -> ClaimRefusal | None:
        principal = claim.get("principal", "")
        max_running = claim.get("max_running", 0)
        if not claim.get("held") and not self._register.must_wait(principal, max_running):
            return None
        its_own = self._register.waiting_of(principal)
        if 0 < claim.get("max_pending", 0) <= its_own:
            return "principal_limit"
        if not self.max_pending:
            return None
        free = self.max_pending - self._register.waiting
        if free <= 0:
            return "queue_full"
        # A principal may take as many places as it leaves: half when it is alone, and there is
        # always one for the next. One without a name is alone with the service.
        return "fair_share" if principal and its_own >= free else None

    def may_run(self) -> bool:
        """Whether one more job may run: not while draining, nor when the descriptors don't suffice.
        One job always may, so that nothing waits for ever. They are counted only where the limit is
        near, and again when jobs may have taken half of those that were free: the count takes
        longer the more there are.
        """
        if self._drain.since is not None:
            return False
        running = self._register.running
        if not running or (running + 1) * JOB_DESCRIPTORS < self._descriptors.limit // 2:
            return True
        if self._counted_free < JOB_DESCRIPTORS:
            free = self._free()
            if free < JOB_DESCRIPTORS:
                return False
            self._counted_free = max(JOB_DESCRIPTORS, free // 2)
        self._counted_free -= JOB_DESCRIPTORS
        return True

    def _free(self) -> int:
        """Descriptors that no job has, nor is about to take."""
        to_come = sum(e.job.descriptors_to_come for e in self._register if e.has_slot)
        return self._descriptors.free() - to_come - SPARE_DESCRIPTORS
