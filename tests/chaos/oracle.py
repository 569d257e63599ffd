"""What must be true in the end, whatever was done: every job is compared with what it was to do, with
what its commands told in the tally, and with what was done to the service meanwhile.
"""

from __future__ import annotations

import os
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import httpx
from clients import Asker, Reader, Run
from ledger import Entry, Ledger
from work import Told, read_tally

_FULL: Final = frozenset({"fill_disk"})
# What explains a job that was ended for this reason.
_JUSTIFIED: Final = {
    "lost": frozenset({"kill_supervisor", "kill_everything", "stop_supervisor"}),
    "shutdown": frozenset({"restart_kill"}),
    "output": _FULL,
}
_DELAYS: Final = frozenset({"stop_supervisor", "fill_disk", "stop_worker", "stop_main"})
# Seconds from an acknowledged kill to its end: the longest grace asked for, the drain, and a busy
# machine.
_KILL_S: Final = 12.0


class Oracle:
    """Judges one run when all of its jobs are over. What is wrong goes into the ledger."""

    def __init__(self, ledger: Ledger, run: Run, asker: Asker) -> None:
        self._ledger = ledger
        self._run = run
        self._asker = asker
        self._tally: dict[tuple[str, int], Told] = {}

    def judge_tally(self) -> None:
        """What can be told without the service."""
        self._tally = read_tally(self._run.tally)
        for (name, number), told in self._tally.items():
            if told.begun > 1:
                self._ledger.accuse(f"{name}: command {number} ran {told.begun} times")
        ran = {name for name, _ in self._tally}
        for entry in self._ledger.entries:
            if not entry.id and entry.was_refused and entry.work.name in ran:
                self._ledger.accuse(f"{entry.work.name} was refused ({entry.answers}), and ran")

    def judge(self) -> None:
        self.judge_tally()
        for entry in self._ledger.entries:
            if entry.id:
                self._judge_job(entry)
        self._judge_list()
        for reader in self._run.readers:
            self._judge_reader(reader)

    def _judge_list(self) -> None:
        listed: set[str] = set()
        after: dict[str, str] = {}
        while True:
            answer = self._asker.ask("GET", "/", params={"state": "all", **after})
            if answer is None or answer.status_code != HTTPStatus.OK:
                self._ledger.accuse("the list can't be had in the end")
                return
            listed.update(answer.json()["IDs"])
            if "Next" not in answer.json():
                break
            after = {"after": answer.json()["Next"]}
        for entry in self._ledger.entries:
            if entry.is_cleaned and entry.id in listed:
                self._ledger.accuse(f"{entry.id} is listed after its clean was acknowledged")
            if entry.id and not entry.clean_sent and entry.id not in listed:
                self._ledger.accuse(f"{entry.id} is lost: not among {len(listed)} listed")
        for unknown in listed - {entry.id for entry in self._ledger.entries}:
            self._ledger.accuse(f"{unknown} is listed, and was never acknowledged")

    def _judge_job(self, entry: Entry) -> None:
        view = entry.final
        if view is None:
            return  # said already: it never ended
        wrong = self._end_fault(entry, view) or self._commands_fault(entry, view)
        if wrong is None and not entry.clean_sent:
            wrong = self._output_fault(entry, view)
        if wrong is not None:
            self._ledger.accuse(f"{entry.work.name} {entry.id}: {wrong}")

    def _end_fault(self, entry: Entry, view: dict[str, Any]) -> str | None:
        begin, end = _time(view["CreatedAt"]), _time(view["FinishedAt"])
        if view["State"] == "exited":
            if view["Error"]:
                full = self._ledger.happened(_FULL, begin, end)
                return None if full else f"it could not be started: {view['Error']}"
            wanted = entry.work.commands[entry.work.to_run[-1]].code
            if (view["ExitCode"], view["Signal"]) != (wanted, None):
                return f"exit code {view['ExitCode']}, signal {view['Signal']}, not {wanted}"
            late = entry.kill_acknowledged_at and end - entry.kill_acknowledged_at > _KILL_S
            if late and not self._ledger.happened(_DELAYS, begin, end):
                return "its kill was acknowledged, and it ended by itself long after"
            return None
        if view["Reason"] == "requested":
            return None if entry.kill_sent else "killed, and nobody asked for it"
        justified_by = _JUSTIFIED.get(view["Reason"], frozenset())
        was = self._ledger.happened(justified_by, begin, end)
        return (
            None if was else f"killed for {view['Reason']}, and nothing was done that explains it"
        )

    def _commands_fault(self, entry: Entry, view: dict[str, Any]) -> str | None:
        is_whole = view["State"] == "exited" and not view["Error"]
        for number, shown in enumerate(view["Commands"]):
            told = self._tally.get((entry.work.name, number), Told())
            if is_whole and shown["Error"]:  # it has failed, and the job went on
                if why := self._refusal_fault(shown, told, view):
                    return f"command {number} {why}: {shown}"
                continue
            if is_whole and (number in entry.work.to_run) != (told.begun == 1):
                return f"command {number} ran {told.begun} times: {shown}"
            if is_whole and number not in entry.work.to_run and shown["State"] != "skipped":
                return f"command {number} is {shown['State']}, not skipped"
            if shown["State"] == "skipped" and told.begun:
                return f"command {number} is shown as skipped, and ran"
            is_told = shown["State"] == "exited" and shown["ExitCode"] is not None
            if is_told and told.codes != (shown["ExitCode"],):
                return f"command {number} has exit code {shown['ExitCode']}, told {told.codes}"
        return None

    def _refusal_fault(self, shown: dict[str, Any], told: Told, view: dict[str, Any]) -> str | None:
        if told.begun:
            return "could not be started, and ran"
        full = self._ledger.happened(_FULL, _time(view["CreatedAt"]), _time(view["FinishedAt"]))
        return None if full else "could not be started, and nothing was done that explains it"

    def _output_fault(self, entry: Entry, view: dict[str, Any]) -> str | None:
        whole = self._stored(entry, "")
        if entry.log_removed:
            if whole is None or len(whole) == view["Output"]["Bytes"]:
                return None
            return f"its log was removed, and attach ended cleanly after {len(whole)} bytes"
        streams = {name: self._stored(entry, name) for name in ("stdout", "stderr")}
        if whole is None or None in streams.values():
            return "its output can't be read to its end"
        if len(whole) != view["Output"]["Bytes"]:
            return f"{len(whole)} bytes are stored, {view['Output']['Bytes']} told"
        if len(whole) != sum(len(data or b"") for data in streams.values()):
            return "its streams aren't all of its output"
        is_whole = view["State"] == "exited" and not view["Error"]
        if is_whole and not view["Output"]["Complete"]:
            return "it ended by itself, and its output isn't complete"
        for name, data in streams.items():
            written = entry.work.written(name, refused=_refused(view))
            if data != (written if is_whole else written[: len(data or b"")]):
                return (
                    f"its {name} isn't what it wrote ({len(data or b'')} of {len(written)} bytes)"
                )
        return None

    def _stored(self, entry: Entry, stream: str) -> bytes | None:
        """The output to its clean end; None where there is none."""
        parameters = {"stream": stream} if stream else {}
        try:
            answer = self._asker.http.get(f"/{entry.id}/attach", params=parameters)
        except httpx.TransportError:
            return None
        return answer.content if answer.status_code == HTTPStatus.OK else None

    def _judge_reader(self, reader: Reader) -> None:
        entry, data = reader.entry, bytes(reader.received)
        where = f"{entry.work.name} {entry.id}: a reader of {reader.stream or 'both streams'}"
        if entry.log_removed:
            return
        if not reader.is_whole:
            if not reader.was_refused:
                self._ledger.accuse(f"{where} never came to the end ({len(data)} bytes)")
            return
        refused = _refused(entry.final or {})
        if reader.stream and not entry.work.written(reader.stream, refused=refused).startswith(
            data
        ):
            self._ledger.accuse(f"{where} got what was never written")
        if not entry.clean_sent:
            stored = self._stored(entry, reader.stream)
            if stored is not None and stored != data:
                what = f"{len(data)} bytes, {len(stored)} are stored"
                self._ledger.accuse(f"{where} ended cleanly with {what}")


def _refused(view: dict[str, Any]) -> list[int]:
    """The commands that couldn't be started."""
    return [number for number, shown in enumerate(view.get("Commands", ())) if shown["Error"]]


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def leftovers_of(pids: list[int]) -> str:
    """Processes, for a sentence."""
    return ", ".join(f"{pid} {_command(pid)}" for pid in pids)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read().replace(b"\0", b" ")).strip()[:100]
    except OSError:
        return "?"
