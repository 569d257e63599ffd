"""One run: load and harm for some seconds, then peace, then the oracle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final

import leftovers
from clients import Asker, Client, Run
from disk import mounted
from faults import Faults, NoService
from ledger import Ledger
from oracle import Oracle, leftovers_of
from plan import Plan

# Seconds until the service, healed, is ready; until all of its jobs have ended; until what is over
# is gone. The longest job takes less than half a minute.
_READY_S: Final = 20.0
_ENDED_S: Final = 45.0
_GONE_S: Final = 10.0
# Seconds between two looks at how many supervisors there are, and how many looks are too many.
_LOOK_S: Final = 0.5
_LOOKS: Final = 6
_CLIENTS: Final = 4


class Result:
    """How a run went."""

    def __init__(self, ledger: Ledger, faults: Faults, run: Run) -> None:
        self.wrong = ledger.wrong
        self.lines = faults.lines
        whole = sum(reader.is_whole for reader in run.readers)
        acknowledged = [entry for entry in ledger.entries if entry.id]
        killed = sum(1 for e in acknowledged if e.final and e.final["State"] == "killed")
        done = ", ".join(f"{count} {name}" for name, count in sorted(faults.counts.items()))
        self.summary = (
            f"{len(acknowledged)} of {len(ledger.entries)} submissions acknowledged, {killed} jobs"
            f" killed, {whole} of {len(run.readers)} readers at the end; {done}"
        )


def run_one(plan: Plan, seconds: float, directory: Path) -> Result:
    """Carry a plan out in an empty directory. A mark of the run's own is in each job."""
    run = Run(plan.seed, f"{plan.seed}-{time.time_ns()}", directory / "tally")
    run.tally.touch()
    ledger = Ledger()
    with mounted(directory, plan.disk) as disk:
        state_dir = (disk.path if disk else directory) / "state"
        faults = Faults(state_dir, disk, ledger)
        asker = Asker(faults.service.url, ledger)
        stop = threading.Event()
        threads: list[threading.Thread] = [
            Client(f"c{n}", Asker(faults.service.url, ledger), stop, run) for n in range(_CLIENTS)
        ]
        threads.append(threading.Thread(target=_count, args=(state_dir, ledger, stop), daemon=True))
        for thread in threads:
            thread.start()
        try:
            faults.carry_out(plan, seconds)
            stop.set()
            for thread in threads:
                thread.join(_READY_S)
            faults.heal()
            _judge(faults, asker, ledger, run)
        except NoService:
            ledger.accuse("the service doesn't start any more")
        finally:
            stop.set()
            run.end.set()
    return Result(ledger, faults, run)


def _judge(faults: Faults, asker: Asker, ledger: Ledger, run: Run) -> None:
    oracle = Oracle(ledger, run, asker)
    if not _becomes(lambda: _is_ready(asker), _READY_S):
        ledger.accuse(f"healed, the service was not ready within {_READY_S:g} s")
        run.end.set()
        oracle.judge_tally()
        faults.end()
        return  # what it answers would take hours to ask
    _settle_submissions(asker, ledger, run)
    _wait_for_ends(asker, ledger)
    for reader in run.readers:
        reader.join(_GONE_S)
    run.end.set()
    for reader in run.readers:
        reader.join(_GONE_S)
    oracle.judge()
    _judge_what_is_left(faults, asker, ledger, run)


def _is_ready(asker: Asker) -> bool:
    answer = asker.ask("GET", "/health/ready")
    return answer is not None and answer.status_code == HTTPStatus.OK


def _settle_submissions(asker: Asker, ledger: Ledger, run: Run) -> None:
    """Ask again for what was cut off, as a client with a key would."""
    for entry in ledger.entries:
        if entry.id or entry.was_refused:
            continue
        if not _becomes(lambda e=entry: asker.submit(e, run.id, run.tally), _READY_S):
            ledger.accuse(f"{entry.work.name} can't be submitted in the end: {entry.answers}")


def _wait_for_ends(asker: Asker, ledger: Ledger) -> None:
    deadline = time.monotonic() + _ENDED_S
    for entry in ledger.known():
        while entry.final is None and (left := deadline - time.monotonic()) > 0:
            asker.look(entry, wait_s=min(left, 3.0))
        if entry.final is None:
            view = asker.look(entry) or {}
        if entry.final is None:
            what = f"{view.get('State')}, killed: {bool(entry.kill_acknowledged_at)}"
            ledger.accuse(f"{entry.work.name} {entry.id} never ends ({what})")


def _judge_what_is_left(faults: Faults, asker: Asker, ledger: Ledger, run: Run) -> None:
    for entry in ledger.entries:
        if entry.id and entry.final is not None and not entry.is_cleaned:
            answer = asker.ask("POST", f"/{entry.id}/clean")
            if answer is None or answer.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
                ledger.accuse(f"{entry.id} can't be cleaned")
    state_dir = faults.state_dir
    looks: dict[str, Callable[[], object]] = {
        "processes of jobs are left": lambda: leftovers_of(leftovers.of_jobs(run.id)),
        "cgroups are left": lambda: leftovers.cgroups(state_dir),
        "directories are left": lambda: [*_in(state_dir / "jobs"), *_in(state_dir / "logs")],
        "supervisors too many": lambda: leftovers.supervisors(state_dir)[1:],
        "descriptors of jobs are open": lambda: [
            *leftovers.descriptors_of_jobs(faults.supervisor, state_dir, pipes=True),
            *(
                name
                for pid in faults.workers
                for name in leftovers.descriptors_of_jobs(pid, state_dir, pipes=False)
            ),
        ],
    }
    for what, look in looks.items():
        if not _becomes(lambda look=look: not look(), _GONE_S):
            ledger.accuse(f"{what}: {look()}")
    if not leftovers.supervisors(state_dir):
        ledger.accuse("no supervisor lives in the end")
    status = faults.end()
    if status not in (0, None):
        ledger.accuse(f"the service ended with status {status}")
    if not _becomes(lambda: not leftovers.supervisors(state_dir), _GONE_S):
        ledger.accuse(f"supervisors are left: {leftovers_of(leftovers.supervisors(state_dir))}")


def _in(directory: Path) -> list[str]:
    return sorted(str(path) for path in directory.iterdir()) if directory.is_dir() else []


def _count(state_dir: Path, ledger: Ledger, stop: threading.Event) -> None:
    """One may serve, and another may find out that it isn't needed, but no third for seconds."""
    looks = 0
    while not stop.wait(_LOOK_S):  # nothing tells of a process that shouldn't be there
        pids = leftovers.supervisors(state_dir)
        looks = looks + 1 if len(pids) > 2 else 0
        if looks == _LOOKS:
            ledger.accuse(f"{len(pids)} supervisors for {_LOOK_S * _LOOKS:g} s")


def _becomes(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes so in time: states that are seen from outside, and that nothing tells."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not is_so():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.1)
    return True
