"""What callers do to a job while it runs: signals that are no kill, input, its terminal's size."""

from __future__ import annotations

from service.engine.driver import Driver
from service.engine.job_input import JobInputs
from service.engine.known_jobs import KnownJobs
from service.engine.session import KeptSession
from service.engine.signalling import Signalling
from service.engine.terminals import Terminals
from service.engine.verbs import Verbs
from service.store import Store


class Interaction:
    """Of the jobs of all workers, for the callers of one."""

    def __init__(
        self,
        store: Store,
        session: KeptSession,
        driver: Driver,
        jobs: KnownJobs,
        verbs: Verbs,
    ) -> None:
        self._verbs = verbs
        self._signalling = Signalling(store, session, driver)
        self._inputs = JobInputs(store, session, jobs.wait_started)
        self._terminals = Terminals(store, session, driver)

    def close(self) -> None:
        """End the input that waits: this worker stops."""
        self._inputs.close()

    async def signal(self, job_id: str, signal: int, *, foreground: bool = False) -> int:
        """Send all processes of a job that runs a signal, once, which is no kill; how many got it.
        `foreground`: only those in the foreground of its terminal.

        Raises: UnknownJob, NoTerminal, NoForeground, JobNotRunning, SignalNotPassedOn,
            OutcomeUnknown, Unavailable.
        """
        if foreground:
            self._terminals.check_has(job_id)
        return await self._verbs.run(self._signalling.send(job_id, signal, foreground=foreground))

    async def resize(self, job_id: str, rows: int, cols: int) -> None:
        """Give the job's terminal another size; one of a pending job begins with it.

        Raises: UnknownJob, NoTerminal, JobNotRunning, Unavailable.
        """
        await self._verbs.run(self._terminals.resize(job_id, rows, cols))

    async def write_input(
        self, job_id: str, data: bytes, offset: int | None = None, *, eof: bool = False
    ) -> int:
        """Write into the standard input of a job, once it has started, and with `eof` end that
        after it; how much its pipe has taken then. It takes as long as the job needs to read.
        `offset`: how much it must have taken before; None: however much. A caller that is
        cancelled finds counted what was accepted.

        Raises: UnknownJob, NoInput, InputOffset, InputClosed, JobNotRunning, OutcomeUnknown (only
            without an offset), Unavailable.
        """
        return await self._inputs.write(job_id, data, offset, eof=eof)

    async def waits_for_input(self, job_id: str) -> bool | None:
        """Whether a process of a running job waits for its input now, or its terminal doesn't show
        what is typed. None: nobody can tell, or it has none.
        """
        return await self._terminals.waits_for_input(job_id)
