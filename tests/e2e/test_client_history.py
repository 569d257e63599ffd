"""The client and the command line with a long history: it is read in pages, and not held."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import running
from stored_jobs import fill

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.once]

JOBS = 40_000
# Of their views alone so many take some forty million bytes, their IDs four.
MOST_KIB = 3 << 10
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
# The first call has all modules, and a page.
LISTING = """
import resource, sys
from service.cli import main

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

assert main(["--url", sys.argv[1], "ps", "-a", "-q", "-n", "1000"]) == 0
first = peak()
assert main(["--url", sys.argv[1], "ps", "-a", "-q"]) == 0
print(peak() - first, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    state = tmp_path_factory.mktemp("history") / "state"
    fill(state, JOBS)
    with running(state, environment={"JOBRUNNER_RETAIN_BYTES": "0"}) as service:
        yield service.url


def test_all_jobs_are_listed_in_the_memory_of_a_page(url):
    arguments = [sys.executable, "-c", PROGRAM, url]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    count, grown_kib = map(int, done.stdout.split())
    assert count == JOBS
    assert grown_kib < MOST_KIB


def test_the_command_line_lists_all_ids_in_the_memory_of_a_page(url):
    arguments = [sys.executable, "-c", LISTING, url]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    newest, listed = done.stdout.split()[:1000], done.stdout.split()[1000:]
    assert len(set(listed)) == JOBS
    assert listed[:1000] == newest
    assert int(done.stderr) < MOST_KIB
