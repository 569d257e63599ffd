"""The verbs: submit, kill, signal, clean, list. One engine in each worker; each answers
for every job, whichever worker drives it.

Submit, kill, signal and clean run in tasks of the engine: a caller that goes away cancels its
response, not the work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from service.engine.changes import WorkerChanges
from service.engine.cleaning import Cleaning
from service.engine.driver import Driver
from service.engine.elsewhere import Elsewhere
from service.engine.interaction import Interaction
from service.engine.kept import KeptProcesses
from service.engine.kills import Kills
from service.engine.known_jobs import KnownJobs
from service.engine.measures import Measures
from service.engine.outputs import Outputs
from service.engine.patient_writes import LogKeeper
from service.engine.priorities import Priorities
from service.engine.readiness import RecordsCheck, readiness
from service.engine.record_writer import RecordWriter
from service.engine.recovery import Recovery
from service.engine.releasing import Releasing
from service.engine.removal import Removal
from service.engine.retention import Retention
from service.engine.selected import SelectedJobs, Touched
from service.engine.session import KeptSession
from service.engine.submissions import Submission, Submissions
from service.engine.tasks import OwnedTasks
from service.engine.usage import UsageOfJobs
from service.engine.verbs import Verbs
from service.engine.waiters import Waiters
from service.engine.workspaces import Workspaces
from service.errors import FilesLeft, InsufficientStorage, JobIsLive
from service.host.heartbeats import Heartbeats
from service.jobs.ceilings import NO_CEILINGS, Ceilings
from service.jobs.record import JobRecord
from service.jobs.spec import JobSpec
from service.jobs.states import LIVE, State
from service.jobs.visibility import Visibility
from service.metrics.series import Metrics
from service.settings import Settings
from service.store import Page, Query, Selection, Store


def _nothing() -> None:
    """Nobody watches this worker."""


class Engine:
    """Opened once per worker, in its loop.

    Attributes:
        jobs: what is known of jobs, and how to wait for them.
        outputs: the visits of readers.
        workspaces: the files of jobs.
        interaction: what callers do to jobs that run.
        kept: what finished jobs have left running.
        live_usage: what jobs that run use now.
        elsewhere: what others tell of commands that run.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics | None = None,
        beats: Heartbeats | None = None,
    ) -> None:
        """`beats` is shared with the main process; None: there is none."""
        self._settings = settings
        self._beats = beats
        self._store = store
        metrics = metrics or Metrics()
        self._tasks = OwnedTasks()
        self._records_check = RecordsCheck(store)
        self._waiters = Waiters()
        self._removal = Removal(settings, store)
        self._session = KeptSession(settings, beats.beat_worker if beats else _nothing)
        self.kept = KeptProcesses(settings, store, self._session, self._publish)
        self._cleaning = Cleaning(settings, store, self._waiters, self._removal, self.kept)
        self._retention = Retention(settings, store, self._cleaning.retire)
        log_keeper = LogKeeper(store, partial(self._tasks.begin, name="checkpoint"))
        self._changes = WorkerChanges(self._waiters, self._retention, log_keeper, self.kept)
        writer = RecordWriter(store, metrics)
        self._driver = Driver(settings, store, writer, self._changes)
        self._recovery = Recovery(settings, store, writer, self._driver)
        self.jobs = KnownJobs(settings, store, self._session, self._driver, self._waiters)
        self._verbs = Verbs(self._tasks, self.jobs)
        at_once = settings.max_followed_jobs
        self.outputs = Outputs(store, self.jobs, max_followed_jobs=at_once)
        self._submissions = Submissions(
            settings, store, self._session, self._driver, metrics, log_keeper
        )
        self._kills = Kills(store, self._session, self._driver, self.kept)
        self.interaction = Interaction(store, self._session, self._driver, self.jobs, self._verbs)
        self._priorities = Priorities(store, self._session)
        self.workspaces = Workspaces(settings, self.jobs)
        self._releasing = Releasing(self.jobs, self._session)
        self._selected = SelectedJobs(
            store, self._kills, self._cleaning, lambda: self.jobs.is_closing
        )
        self.live_usage = UsageOfJobs(self._session, self.kept)
        self.elsewhere = Elsewhere(settings)
        self._measures = Measures(settings, store, self.live_usage)

    async def open(self) -> None:
        """Raises: SupervisorFailed."""
        listeners = (self._driver, self._recovery, self._changes, self.kept)
        await self._session.open(self._driver.received, listeners)
        self.outputs.open()
        self._tasks.keep(self._removal.run, name="removal")
        self._tasks.keep(self._retention.run, name="retention")

    async def close(self) -> None:
        """End the readers, finish what was begun, then hand all jobs over."""
        self.interaction.close()
        self.jobs.close()
        await self.outputs.close()
        self._removal.close()
        self.workspaces.close()
        await self._tasks.cancel_kept()
        await self.kept.close()
        await self._tasks.finish()
        await self._session.close()
        await self._recovery.close()

    # Verbs

    async def submit(
        self,
        spec: JobSpec,
        *,
        key: str | None = None,
        principal: str | None = None,
        ceilings: Ceilings = NO_CEILINGS,
    ) -> Submission:
        """Store a job that will run or be reported as not run, whatever is killed from now on.
        Both the job and `key` belong to `principal`; `ceilings` are those of its token.

        Raises: IdempotencyKeyReused, InvalidJob, InsufficientStorage, TooManyRequests, Draining,
            Unavailable.
        """
        work = self._submissions.submit(spec, key=key, principal=principal, ceilings=ceilings)
        return await self._verbs.run(work)

    async def kill(self, job_id: str, *, signal: int, grace_s: float | None) -> State | None:
        """Have a job ended; its state then, None when it is unknown. `grace_s` None: the grace that
        the job was submitted with.

        Raises: Unavailable.
        """
        return await self._verbs.run(self._kills.request(job_id, signal, grace_s))

    async def clean(self, job_id: str) -> None:
        """Forget a finished job: record, output, working directory.

        Raises: UnknownJob, JobIsLive, FilesLeft, InsufficientStorage, Unavailable.
        """
        await self._verbs.run(self._clean(job_id))

    async def set_priority(self, job_id: str, priority: int) -> JobRecord:
        """Change the priority of a pending job; the job as it is then.

        Raises: UnknownJob, JobNotPending, InsufficientStorage, Unavailable.
        """
        self._driver.settle()
        await self._verbs.run(self._priorities.change(job_id, priority))
        return self.jobs.show(job_id)

    async def release(self, job_id: str) -> JobRecord:
        """Let a held job wait for its run slot; the job as it is then. A repeat changes nothing.

        Raises: UnknownJob, JobNotHeld, InsufficientStorage, Unavailable.
        """
        await self._verbs.run(self._releasing.release(job_id))
        return self.jobs.show(job_id)

    async def kill_selected(
        self,
        selection: Selection,
        visible: Visibility,
        *,
        signal: int,
        grace_s: float | None,
        limit: int,
        on_touch: Callable[[str], None],
    ) -> Touched:
        """See `SelectedJobs.kill`."""
        self._driver.settle()
        work = self._selected.kill(
            selection, visible, signal=signal, grace_s=grace_s, limit=limit, on_touch=on_touch
        )
        return await self._verbs.run(work)

    async def clean_selected(
        self,
        selection: Selection,
        visible: Visibility,
        *,
        limit: int,
        on_touch: Callable[[str], None],
    ) -> Touched:
        """See `SelectedJobs.clean`."""
        work = self._selected.clean(selection, visible, limit=limit, on_touch=on_touch)
        touched = await self._verbs.run(work)
        if touched.untouched:
            self._retention.files_left()
        return touched

    def check_free_space(self) -> None:
        """Raises: InsufficientStorage, when the records have no room: what callers write would take
        it from them.
        """
        if (why := self._store.reserve.shortage()) is not None:
            raise InsufficientStorage(why)

    def files_changed(self, job_id: str) -> None:
        """What a finished job has on the disk is to be measured again. Raises: Unavailable."""
        if self._store.finished.unmeasure(job_id):
            self._retention.finished(job_id)

    async def wait_kept_ended(self, job_id: str) -> None:
        """Return once the processes that the job has kept are ended, if `kill` was to end some.

        Raises: InsufficientStorage, Unavailable.
        """
        await self.kept.wait(job_id)
        # The job was live when it was requested, or another worker ends them.
        await self.jobs.wait_until(
            job_id, lambda: not self.kept.is_being_ended(job_id), to_end=False
        )

    async def page(self, query: Query, visible: Visibility, *, full: bool) -> Page:
        """One page of the jobs that are `visible`. Raises: Unavailable."""
        used = await self._measures.of(query, visible)
        self._driver.settle()
        return await self._store.searches.page(query, visible, full=full, used=used)

    def readiness(self) -> dict[str, str | None]:
        """Readiness checks by name; the value is the failure message, or None."""
        trouble = self._session.trouble or self._recovery.trouble
        return readiness(
            self._records_check,
            supervisor="This worker is stopping." if self.jobs.is_closing else trouble,
            main_silent_s=self._beats.main_silent_s() if self._beats is not None else 0.0,
            unstored=self._driver.fault,
            shortage=self._store.reserve.shortage(),
            descriptors=self._submissions.shortage,
            draining_since=self._session.draining_since,
        )

    @property
    def is_draining(self) -> bool:
        """Whether the service takes no new job, and starts none that is pending."""
        return self._session.draining_since is not None

    def remarks(self) -> dict[str, str]:
        """What the operator should know of things that are well enough for new jobs."""
        remarks = {}
        if damaged := self._driver.damaged + self._recovery.damaged:
            why = f"{damaged} jobs were ended as their records can't be read; each has an Error."
            remarks["records"] = why
        if (refusal := self.outputs.refusal) is not None:
            remarks["output"] = refusal
        return remarks

    # How

    async def _clean(self, job_id: str) -> None:
        state = self.jobs.state(job_id)
        if state in LIVE:
            raise JobIsLive(
                f"The job {job_id} is {state.value}; only a finished job can be cleaned."
            )
        if await self._cleaning.clean([job_id]):
            return
        if (left := self._store.finished.leftover(job_id)) is not None:
            self._retention.files_left()
            raise FilesLeft(job_id, left.path, left.why)

    def _publish(self, job_id: str, state: State) -> None:
        self._changes.changed(job_id, state)
        self._session.send({"type": "publish", "job": job_id, "state": state.value})
