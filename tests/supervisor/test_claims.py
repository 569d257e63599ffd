"""When one more job may run, by the descriptors that are left."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.supervisor.claims import SPARE_DESCRIPTORS, Claims
from service.supervisor.drain import Drain
from service.supervisor.job.log import JOB_DESCRIPTORS
from service.supervisor.register import Register

LIMIT = 6000
# What an idle job keeps, of those that it may take.
KEPT = 2


class Descriptors:
    """Those of a process that has `LIMIT`, and runs as many jobs as the test says."""

    limit = LIMIT

    def __init__(self) -> None:
        self.used = 20
        self.counts = 0

    def free(self) -> int:
        self.counts += 1
        return LIMIT - self.used


@pytest.fixture
def claims(tmp_path: Path):
    directory = os.open(tmp_path, os.O_RDONLY)
    register: Register[Any] = Register()
    register.max_running = LIMIT
    descriptors = Descriptors()
    yield SimpleNamespace(
        claims=Claims(register, descriptors, Drain(directory)),  # type: ignore[arg-type]  # stands for it
        register=register,
        descriptors=descriptors,
    )
    os.close(directory)


def start(given: Any, number: int) -> bool:
    """Whether one more may; it runs then, and is idle."""
    if not given.claims.may_run():
        return False
    job: Any = SimpleNamespace(id=str(number), descriptors_to_come=JOB_DESCRIPTORS - KEPT)
    given.register.claim(job, "worker")
    given.descriptors.used += KEPT
    return True


def test_descriptors_are_counted_a_few_times_however_many_jobs_run(claims):
    running = 0
    while start(claims, running):
        running += 1
    # Each may take all of its own at any time.
    assert running == (LIMIT - 20 - SPARE_DESCRIPTORS) // JOB_DESCRIPTORS
    assert claims.descriptors.counts < 20


def test_one_job_may_always_run(claims):
    claims.descriptors.used = LIMIT
    assert start(claims, 0)
    claims.register.max_running = LIMIT
    claims.descriptors.used = LIMIT - 1
    for number in range(1, LIMIT // 2 // JOB_DESCRIPTORS - 1):
        assert start(claims, number)  # far from the limit they aren't counted
    assert not start(claims, LIMIT)


def test_descriptors_that_came_free_are_found_by_the_next_claim(claims):
    running = 0
    while start(claims, running):
        running += 1
    assert not claims.claims.may_run()
    claims.descriptors.used -= JOB_DESCRIPTORS
    assert claims.claims.may_run()
