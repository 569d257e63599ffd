"""A state directory with a long history, made without running it."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace

from service import state_dir
from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.spec import JobSpec
from service.jobs.states import State
from service.kinds.bash import BashCommand
from service.kinds.stored import encode_spec
from service.store import Store

# Jobs that have `LABEL`, evenly among all.
_LABELLED = 100
LABEL = {"of": "some"}


def fill(directory: Path, jobs: int) -> str:
    """Records as finished jobs leave them, a hundred with `LABEL`; the ID of the one in the middle."""
    state_dir.prepare(directory)
    store = Store(directory / "jobs.db")
    spec = encode_spec(JobSpec(commands=(BashCommand(command_line="true"),)))
    now = time.time_ns()
    outcome = CommandOutcome(state=State.EXITED, exit_code=0, started_at=now, finished_at=now)
    middle = ""
    with store.transaction():
        for number in range(jobs):
            job_id = f"00000000-0000-4000-8000-{number:012x}"
            record = JobRecord(
                id=job_id,
                created_at=now,
                spec=spec,
                commands=(outcome,),
                dispatched=0,
                labels={} if number % max(1, jobs // _LABELLED) else LABEL,
            )
            record = store.insert(record)
            ended = replace(
                record, state=State.EXITED, exit_code=0, started_at=now, finished_at=now
            )
            store.update(replace(ended, output_bytes=0))
            middle = job_id if number == jobs // 2 else middle
    store.finished.measured({f"00000000-0000-4000-8000-{number:012x}": 0 for number in range(jobs)})
    store.checkpoints.run()
    store.close()
    return middle
