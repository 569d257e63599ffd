"""Random sequences of what clients do and what dies, against the real service.

Whatever the sequence:
1. every acknowledged job is listed until it is cleaned;
2. a finished job never changes;
3. a command runs at most once;
4. output only grows;
5. a repeated submission leads to its job, also when that was cleaned.

Each command says in a file of the test's own that it runs. A failing sequence is repeated by its
number; `JOBRUNNER_TEST_SEQUENCES` says how many there are.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gates import Gate
from running import Service, again, running
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEQUENCES = int(os.environ.get("JOBRUNNER_TEST_SEQUENCES", "5"))  # noqa: TID251 - of the test
STEPS = 15
# How often each is drawn, relative to the others; the last three kill.
WEIGHTS = {
    "submit": 6,
    "finish": 4,
    "kill": 2,
    "clean": 2,
    "repeat": 2,
    "kill_worker": 1,
    "kill_service": 0.7,
    "kill_everything": 0.7,
}
# Fewer than there are jobs, so that some wait.
MAX_RUNNING = 4
SCRIPT = 'echo "$JOBRUNNER_COMMAND" >>"$RUNS"; echo begin; read -r _ <"$GATE"; seq 1000; exit 5'


class Job:
    """What is known of an acknowledged job, as it was last seen."""

    def __init__(self, directory: Path, number: int, commands: int) -> None:
        self.id = ""
        self.key = f"job-{number}"
        self.commands = commands
        self.runs = directory / f"runs-{number}"
        self.gate = Gate(directory / f"gate-{number}")
        self.view: dict[str, Any] = {}
        self.output = b""
        self.is_cleaned = False

    @property
    def is_finished(self) -> bool:
        return self.view.get("State") in ("exited", "killed")

    def submission(self) -> dict[str, Any]:
        command = {"CommandLine": SCRIPT, "ContinueOnFailure": True}
        environment = {"RUNS": str(self.runs), "GATE": str(self.gate)}
        return {"Environment": environment, "Commands": [command] * self.commands}


class World:
    """A service, its jobs, and what may happen to them."""

    def __init__(self, directory: Path, service: Service, choice: random.Random) -> None:
        self.service = service
        self.jobs: list[Job] = []
        self._directory = directory
        self._choice = choice
        self._workers = 2  # that were ever ready, or will be
        self._stack = ExitStack()

    # What clients do

    def submit(self) -> None:
        job = Job(self._directory, len(self.jobs), self._choice.choice((1, 1, 2)))
        self._stack.callback(job.gate.close)
        self.jobs.append(job)
        answer = self._ask("POST", "/", json=job.submission(), headers={"Idempotency-Key": job.key})
        job.id = answer["ID"]

    def finish(self) -> None:
        if job := self._any(finished=False):
            job.gate.open(job.commands)

    def kill(self) -> None:
        if job := self._any(finished=False):
            self._ask("DELETE", f"/{job.id}", params={"grace": self._choice.choice((0, 5))})

    def clean(self) -> None:
        if job := self._any(finished=True):
            job.is_cleaned = True
            self._ask("POST", f"/{job.id}/clean", also=404)  # 404: asked twice

    def repeat(self) -> None:
        if self.jobs:
            self._repeat(self._choice.choice(self.jobs))

    def _repeat(self, job: Job) -> None:
        headers = {"Idempotency-Key": job.key}
        assert self._ask("POST", "/", json=job.submission(), headers=headers) == {"ID": job.id}

    # What dies

    def kill_worker(self) -> None:
        self.service.wait_for_line("worker_ready", self._workers)  # one is left to answer
        with Watched(self.service.worker_pids(), some_ended=True) as workers:
            victim = self._choice.choice(workers.alive())
        os.kill(victim, signal.SIGKILL)
        self._workers += 1

    def kill_service(self) -> None:
        self.service.crash()
        self._restart()

    def kill_everything(self) -> None:
        with Watched([self.service.supervisor_pid()]) as supervisor:
            supervisor.signal(signal.SIGKILL)
            self.service.crash()
            supervisor.wait_gone()
        self._restart()

    # What must hold

    def check(self) -> None:
        listed = set(self._ask("GET", "/", params={"state": "all"})["IDs"])
        assert listed == {job.id for job in self.jobs if not job.is_cleaned}
        for job in self.jobs:
            runs = job.runs.read_text().split() if job.runs.exists() else []
            assert runs == [str(n) for n in range(len(runs))], "a command ran twice"
            if not job.is_cleaned:
                self._check_job(job)

    def check_end(self) -> None:
        """All jobs may end, and do."""
        for job in self.jobs:
            job.gate.open(job.commands)
        for job in self.jobs:
            if not job.is_cleaned:
                view = self._ask("GET", f"/{job.id}/wait")
                assert view["State"] in ("exited", "killed")
                if view["State"] == "exited":
                    assert view["ExitCode"] == 5
                    assert len(job.runs.read_text().split()) == job.commands
        for job in self.jobs:
            self._repeat(job)
        self.check()

    def _check_job(self, job: Job) -> None:
        view = self._ask("GET", f"/{job.id}")
        if job.is_finished:
            assert view == job.view
        path = self.service.state_dir / "logs" / job.id / "output"
        output = path.read_bytes() if path.exists() else b""
        assert output.startswith(job.output)
        job.view, job.output = view, output

    def _restart(self) -> None:
        self.service = self._stack.enter_context(again(self.service))
        self._workers = 2

    def _any(self, *, finished: bool) -> Job | None:
        found = [j for j in self.jobs if j.is_finished is finished and not j.is_cleaned]
        return self._choice.choice(found) if found else None

    def _ask(self, method: str, path: str, *, also: int = 200, **options: Any) -> dict[str, Any]:
        """Asked again when a worker's death cut the answer off: all that is asked here may be."""
        while True:
            try:
                answer = self.service.client.request(method, path, **options)
            except httpx.TransportError:
                continue
            assert answer.status_code in (200, 201, also), answer.text
            body: dict[str, Any] = answer.json()
            return body

    def close(self) -> None:
        self._stack.close()


@contextmanager
def a_world(directory: Path, choice: random.Random) -> Iterator[World]:
    settings = {"JOBRUNNER_MAX_RUNNING": str(MAX_RUNNING)}
    with running(directory / "jobrunner", workers=2, environment=settings) as service:
        world = World(directory, service, choice)
        try:
            yield world
        finally:
            world.close()


@pytest.mark.parametrize("sequence", range(SEQUENCES))
def test_no_sequence_of_deaths_loses_repeats_or_changes_anything(tmp_path: Path, sequence: int):
    choice = random.Random(sequence)
    steps = choice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=STEPS)
    with a_world(tmp_path, choice) as world:
        for step in steps:
            getattr(world, step)()
            world.check()
        world.check_end()
