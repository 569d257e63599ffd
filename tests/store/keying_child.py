"""Submits jobs with keys to the records, ends and cleans them, until it is killed.

Arguments: the database, and a name for its keys. Each line that it prints is committed: `submitted`,
or `cleaned`, with the key and the job's ID.
"""

from __future__ import annotations

import itertools
import sys
import uuid
from pathlib import Path

from msgspec.structs import replace

from service.jobs.record import CommandOutcome, JobRecord
from service.jobs.states import State
from service.store import Store


def tell(*words: str) -> None:
    sys.stdout.write("\t".join(words) + "\n")
    sys.stdout.flush()


def main(path: str, name: str) -> None:
    store = Store(Path(path))
    for number in itertools.count():
        key, job_id = f"{name} {number}", str(uuid.uuid4())
        record = JobRecord(id=job_id, created_at=1, spec=b"{}", commands=(CommandOutcome(),))
        record = store.insert(record, key=key, key_hash=b"h", kept_since=0)
        tell("submitted", key, job_id)
        store.update(replace(record, state=State.EXITED, finished_at=2), before=State.PENDING)
        store.finished.clean(job_id, keep_key_from=3)
        tell("cleaned", key, job_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
