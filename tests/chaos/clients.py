"""What clients do meanwhile: submit, attach, kill, clean and look, in threads of their own.

They hold the service to its word at once where an answer alone tells that it is broken; the rest is
the oracle's, in the end.
"""

from __future__ import annotations

import random
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
from ledger import Entry, Ledger
from work import Work

# Seconds without a byte after which a client takes a connection for dead: a stopped worker's is.
TIMEOUT: Final = httpx.Timeout(5.0, connect=2.0)
# Answers that mean "not now".
REFUSALS: Final = frozenset(
    {
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
# Seconds between two things that one client does, and between two tries of one. This is the pace of
# the load, not a wait for anything: `stop` ends it.
_PAUSES_S: Final = (0.02, 0.3)
_AGAIN_S: Final = 0.2
_MAX_READERS: Final = 12


class Asker:
    """Asks the service one thing; None where no answer came."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self.ledger = ledger
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        try:
            answer = self.http.request(method, path, **options)
        except httpx.TransportError:
            return None
        if answer.status_code >= 500 and answer.status_code not in REFUSALS:
            self.ledger.accuse(f"{method} {path} gave {answer.status_code}: {answer.text[:300]}")
        return answer

    def submit(self, entry: Entry, run: str, tally: Path) -> bool:
        """One try; whether the job is acknowledged."""
        answer = self.ask(
            "POST",
            "/",
            json=entry.work.submission(run, tally),
            headers={"Idempotency-Key": entry.key},
        )
        entry.answers.append(0 if answer is None else answer.status_code)
        if answer is None or answer.status_code in REFUSALS:
            return False
        if answer.status_code not in (200, 201):
            self.ledger.accuse(f"POST / gave {answer.status_code}: {answer.text[:300]}")
            return False
        job_id = answer.json()["ID"]
        if entry.id and entry.id != job_id:
            self.ledger.accuse(f"the key {entry.key} gave two jobs: {entry.id}, {job_id}")
        entry.id = job_id
        return True

    def look(self, entry: Entry, *, wait_s: float | None = None) -> dict[str, Any] | None:
        """The view of an acknowledged job, perhaps once it is finished."""
        path, options = f"/{entry.id}", {}
        if wait_s is not None:
            path, options = f"{path}/wait", {"params": {"timeout": wait_s}}
        answer = self.ask("GET", path, **options)
        if answer is None or answer.status_code in REFUSALS:
            return None
        if answer.status_code != 200:
            if not entry.clean_sent:
                self.ledger.accuse(f"{entry.id} is lost: GET gave {answer.status_code}")
            return None
        view: dict[str, Any] = answer.json()
        self._remember(entry, view)
        return view

    def _remember(self, entry: Entry, view: dict[str, Any]) -> None:
        is_final = view["State"] in ("exited", "killed")
        if entry.final is None:
            entry.final = view if is_final else None
        elif view != entry.final:
            self.ledger.accuse(f"{entry.id} has changed its end: {entry.final} → {view}")


class Client(threading.Thread):
    """One that does everything, in an order of its own."""

    def __init__(self, name: str, asker: Asker, stop: threading.Event, run: Run) -> None:
        super().__init__(name=name, daemon=True)
        self._asker = asker
        self._ledger = asker.ledger
        self._stopping = stop
        self._run = run
        self._choice = random.Random(f"{run.seed} {name}")
        self._number = 0

    def run(self) -> None:
        try:
            while not self._stopping.wait(self._choice.uniform(*_PAUSES_S)):
                (what,) = self._choice.choices(
                    (self._submit, self._attach, self._kill, self._clean, self._look),
                    (8, 3, 1.5, 1.5, 2),
                )
                what()
        except Exception as exc:  # noqa: BLE001 - a client that fails unseen would prove nothing
            self._ledger.accuse(f"{self.name} failed: {exc!r}")

    def _submit(self) -> None:
        self._number += 1
        name = f"{self.name}-{self._number}"
        work = Work.of(self._choice, name)
        entry = Entry(work, key=name, is_tried_once=self._choice.random() < 0.3)
        self._ledger.entries.append(entry)
        for _ in range(1 if entry.is_tried_once else 3):
            if self._asker.submit(entry, self._run.id, self._run.tally):
                return
            if self._stopping.wait(_AGAIN_S):
                return

    def _any(self, *, finished: bool | None = None) -> Entry | None:
        found = self._ledger.known()[-40:]
        if finished is not None:
            found = [e for e in found if (e.final is not None) is finished]
        return self._choice.choice(found) if found else None

    def _attach(self) -> None:
        if len(self._run.readers) - sum(r.is_over for r in self._run.readers) >= _MAX_READERS:
            return
        if entry := self._any():
            stream = self._choice.choice(("", "", "stdout", "stderr"))
            reader = Reader(entry, stream, self._asker, self._run.end)
            self._run.readers.append(reader)
            reader.start()

    def _kill(self) -> None:
        if entry := self._any(finished=False):
            entry.kill_sent = True
            grace = self._choice.choice((0, 0.3, 2))
            answer = self._asker.ask("DELETE", f"/{entry.id}", params={"grace": grace})
            if answer is not None and answer.status_code == 200:
                entry.kill_acknowledged_at = entry.kill_acknowledged_at or time.time()

    def _clean(self) -> None:
        if entry := self._any(finished=True):
            entry.clean_sent = True
            answer = self._asker.ask("POST", f"/{entry.id}/clean")
            if answer is not None and answer.status_code == 200:
                entry.is_cleaned = True

    def _look(self) -> None:
        if entry := self._any():
            self._asker.look(entry)


class Reader(threading.Thread):
    """Reads a job's output to its clean end, going on at its offset as often as it is cut."""

    def __init__(self, entry: Entry, stream: str, asker: Asker, end: threading.Event) -> None:
        super().__init__(name=f"reader of {entry.work.name}", daemon=True)
        self.entry = entry
        self.stream = stream
        self.received = bytearray()
        self.is_whole = False  # it ended cleanly
        self.was_refused = False  # with a 500, a 404 or a 416: nothing comes any more
        self.is_over = False
        self._asker = asker
        self._end = end

    def run(self) -> None:
        try:
            while not (self.is_whole or self.was_refused or self._end.is_set()):
                self._read()
                if not self.is_whole:
                    self._end.wait(_AGAIN_S)
        finally:
            self.is_over = True

    def _read(self) -> None:
        parameters = {"offset": str(len(self.received))}
        if self.stream:
            parameters["stream"] = self.stream
        path = f"/{self.entry.id}/attach"
        try:
            with self._asker.http.stream("GET", path, params=parameters) as answer:
                if answer.status_code != 200:
                    self._refused(answer)
                    return
                for chunk in answer.iter_raw():
                    self.received += chunk
                self.is_whole = True
        except httpx.TransportError:
            return  # cut off, or nobody there: again

    def _refused(self, answer: httpx.Response) -> None:
        if answer.status_code in REFUSALS:
            return
        self.was_refused = True
        excused = self.entry.clean_sent or self.entry.log_removed
        if not excused:
            answer.read()
            what = f"attach at {len(self.received)} gave {answer.status_code}: {answer.text[:200]}"
            self._asker.ledger.accuse(f"{self.entry.id}: {what}")


class Run:
    """What the threads of one run share."""

    def __init__(self, seed: int, run_id: str, tally: Path) -> None:
        self.seed = seed
        self.id = run_id
        self.tally = tally
        self.readers: list[Reader] = []
        self.end = threading.Event()  # readers give up
