"""The supervisor becomes new code again and again, under load, while workers are killed: every command
runs once, every kill that was answered happens, every exit status and event number is the true one.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import Service, running

from service.operations.supervisor import NoSupervisor, upgrade

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

COMMANDS = 40
JOBS_AT_A_TIME = 6


class Load(threading.Thread):
    """Submits jobs of many quick commands, and kills long ones, until it is told to end."""

    def __init__(self, service: Service, marks: Path) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._marks = marks
        self._ended = threading.Event()
        self.jobs: dict[int, str] = {}  # number → ID
        self.killed: list[str] = []  # whose kill was answered with 200
        self.client = httpx.Client(base_url=service.url, timeout=60)

    def run(self) -> None:
        while not self._ended.is_set():
            for _ in range(JOBS_AT_A_TIME):
                number = len(self.jobs)
                self.jobs[number] = self._submit(self._quick(number), f"quick-{number}")
            number = len(self.killed)
            long = self._submit({"CommandLine": "exec sleep 1000"}, f"long-{number}")
            self._retried("DELETE", f"/{long}?grace=5")
            self.killed.append(long)
            for number in list(self.jobs)[-JOBS_AT_A_TIME:-1:3]:
                self._retried("GET", f"/{self.jobs[number]}/wait?timeout=30")

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _quick(self, number: int) -> dict[str, Any]:
        """Each command leaves a mark, and a status that tells which it is."""
        return {
            "Commands": [
                {
                    "CommandLine": f"echo {number}.{k} >> {self._marks}; echo {k}; exit {k % 100}",
                    "ContinueOnFailure": True,
                }
                for k in range(COMMANDS)
            ]
        }

    def _submit(self, body: dict[str, Any], key: str) -> str:
        answer = self._retried("POST", "/", json=body, headers={"Idempotency-Key": key})
        job_id: str = answer.json()["ID"]
        return job_id

    def _retried(self, method: str, path: str, **options: Any) -> httpx.Response:
        """As a client does whose worker dies, or that is told to come again."""
        while True:
            try:
                answer = self.client.request(method, path, **options)
            except httpx.TransportError:
                continue
            if answer.status_code < 400:
                return answer
            assert answer.status_code in (429, 503), answer.text

    def view(self, job_id: str) -> dict[str, Any]:
        view: dict[str, Any] = self._retried("GET", f"/{job_id}/wait?timeout=60").json()
        return view

    def check(self) -> None:
        wrong = []
        for number, job_id in self.jobs.items():
            view = self.view(job_id)
            codes = [c["ExitCode"] for c in view["Commands"]]
            output = self._retried("GET", f"/{job_id}/attach?follow=false").text
            if (
                (view["State"], codes) != ("exited", [k % 100 for k in range(COMMANDS)])
                or not view["Output"]["Complete"]
                or output != "".join(f"{k}\n" for k in range(COMMANDS))
            ):
                wrong.append((number, job_id, view["State"], view["Reason"], codes))
        for job_id in self.killed:
            view = self.view(job_id)
            receipt = view["Kill"] or {}
            if (view["State"], view["Reason"]) != ("killed", "requested") or not receipt.get(
                "VerifiedGone"
            ):
                wrong.append((job_id, view["State"], view["Reason"], receipt))
        ran = Counter(self._marks.read_text().split())
        wanted = {f"{n}.{k}" for n in self.jobs for k in range(COMMANDS)}
        assert [mark for mark, times in ran.items() if times > 1] == []
        assert wanted - ran.keys() == set()
        assert wrong == []


def upgraded(state_dir: Path) -> str | None:
    try:
        return asyncio.run(upgrade(state_dir))
    except NoSupervisor as exc:
        return str(exc)


def sabotage(service: Service, load: Load, upgrades: int, seed: int) -> None:
    """Upgrades one after the other, and between some of them a worker is killed."""
    chance = random.Random(seed)
    killed: set[int] = set()
    pid = service.supervisor_pid()
    for _ in range(upgrades):
        assert upgraded(service.state_dir) is None
        if chance.random() < 0.25:
            living = [p for p in service.worker_pids() if p not in killed]
            if len(living) > 1:
                killed.add(victim := chance.choice(living))
                os.kill(victim, signal.SIGKILL)
    assert service.supervisor_pid() == pid


@pytest.mark.parametrize("cgroup", ["off", pytest.param("auto", marks=pytest.mark.cgroup)])
def test_upgrades_under_load_lose_nothing_and_do_nothing_twice(
    state_dir: Path, tmp_path: Path, cgroup: str
):
    marks = tmp_path / "marks"
    marks.touch()
    settings = {"JOBRUNNER_CGROUP": cgroup}
    with running(state_dir, workers=2, environment=settings) as service:
        load = Load(service, marks)
        load.start()
        try:
            sabotage(service, load, upgrades=10, seed=1)
        finally:
            load.end()
        load.check()
        load.client.close()
