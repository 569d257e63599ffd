"""The output of one job, or a part of it: as it is, or the lines that match."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import click

from service.cli.exit_status import of_signal
from service.cli.interrupts import Interrupts
from service.cli.notes import note
from service.cli.output import DESCRIPTORS, note_of, write
from service.cli.stamping import Stamps
from service.client.output import Stream
from service.client.results import Gap, Match
from service.client.searching import Search
from service.client.selection import Selection
from service.client.sync_client import Job
from service.jobs.views import LinesView

# Of one request.
_LINES = 1000

# Seconds for which one waits until lines have their numbers.
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What of the output is shown; `tail` counts lines."""

    offset: int = 0
    stream: Stream | None = None
    command: int | None = None
    tail: int | None = None
    since: str | None = None
    until: str | None = None

    @property
    def selection(self) -> Selection:
        return {
            "tail": self.tail,
            "since": self.since,
            "until": self.until,
            "command": self.command,
        }


def show_log(job: Job, part: Part, *, follow: bool, timestamps: bool) -> int:
    """Each stream onto its descriptor. Ctrl-C ends it and says how to go on, if it follows."""
    stamps, offset = Stamps(), None
    with (
        Interrupts() as interrupts,
        job.records(
            offset=part.offset, stream=part.stream, follow=follow, **part.selection
        ) as reading,
    ):
        try:
            while True:
                with interrupts.let_in():
                    record = next(reading, None)
                if record is None:
                    return 0
                if isinstance(record, Gap):
                    note_of(record)
                else:
                    data: bytes = record.data
                    if timestamps:
                        data = stamps.stamped(record.stream, record.time, data)
                    write(DESCRIPTORS[record.stream], data)
                offset = record.end
        except KeyboardInterrupt:
            if follow:
                words = _again(job, part, offset, timestamps=timestamps)
                note(f"Detached. To go on: {shlex.join(words)}")
            return of_signal(signal.SIGINT)


def _again(job: Job, part: Part, offset: int | None, *, timestamps: bool) -> Sequence[str]:
    """The command that shows the rest; `offset` is None before anything came."""
    options: dict[str, object] = {"--command": part.command, "--stream": part.stream}
    if offset is None:
        options |= {"--tail": part.tail, "--since": part.since, "--offset": part.offset or None}
    else:
        options["--offset"] = offset
    options["--until"] = part.until
    given = ((name, value) for name, value in options.items() if value is not None)
    words = [word for name, value in given for word in (name, f"{value}")]
    return ["jobrunner", "logs", "-f", *(["-t"] if timestamps else []), *words, job.id]


def show_lines(
    job: Job, first: int, last: int | None, stream: Stream | None, *, timestamps: bool
) -> None:
    """The lines with the numbers `first` to `last`, or to the last one that there is now."""
    line, offset = first, None
    while True:
        found = (
            job.lines_around(line=line, after=_LINES, stream=stream)
            if offset is None
            else job.lines_around(at=offset, after=_LINES, stream=stream, wait=_WAIT_S)
        )
        for each in found.lines:
            if last is not None and (each.line or 0) > last:
                return
            stamp = f"{each.time} ".encode() if timestamps else b""
            end = b"" if each.partial is True else b"\n"
            write(DESCRIPTORS[each.stream], stamp + each.content + end)
        if not found.lines and offset is None:
            _check_there(line, found)
            return
        if found.end >= found.size:
            return
        offset = found.end


def _check_there(line: int, found: LinesView) -> None:
    """Raises: ClickException, where the index is on its way."""
    if found.indexed < found.size:
        raise click.ClickException(
            f"Line {line} isn't found yet: lines are numbered up to byte {found.indexed} of"
            f" {found.size}. Try again."
        )


def show_matches(job: Job, part: Part, pattern: str, how: Search, *, timestamps: bool) -> None:
    """The lines that match, of what there is now; `--` stands between groups with a context."""
    search: Search = {**how, **part.selection}
    last: Match | None = None
    for match in job.grep(pattern, offset=part.offset, stream=part.stream, **search):
        if isinstance(match, Gap):
            note_of(match)
            continue
        begins = last is None or last.line != match.line
        if last is not None and begins:
            if last.is_partial:
                write(DESCRIPTORS[last.stream], b"\n")
            if how.get("context") and match.line > last.line + 1:
                write(DESCRIPTORS[match.stream], b"--\n")
        stamp = f"{match.time} ".encode() if timestamps and begins else b""
        end = b"" if match.is_partial else b"\n"
        write(DESCRIPTORS[match.stream], stamp + match.data + end)
        last = match
    if last is not None and last.is_partial:
        write(DESCRIPTORS[last.stream], b"\n")
