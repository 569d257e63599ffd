"""The Python client with a long history: it is read in pages, and not held."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import running
from stored_jobs import fill

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.once]

JOBS = 100_000
# Of their views alone a hundred thousand take some hundred million bytes.
MOST_KIB = 8 << 10
PROGRAM = """
import resource, sys
import jobrunner

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

with jobrunner.Client(sys.argv[1]) as client:
    for count, job in enumerate(client.jobs(state="all"), 1):
        if count == 1000:
            first = peak()
print(count, peak() - first)
"""


def test_all_jobs_are_listed_in_the_memory_of_a_page(tmp_path):
    fill(tmp_path / "state", JOBS)
    with running(tmp_path / "state", environment={"JOBRUNNER_RETAIN_BYTES": "0"}) as service:
        arguments = [sys.executable, "-c", PROGRAM, service.url]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    count, grown_kib = map(int, done.stdout.split())
    assert count == JOBS
    assert grown_kib < MOST_KIB
