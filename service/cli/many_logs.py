"""The output of many jobs, each line behind the name of its job."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from itertools import count
from typing import Final

import click

from service.cli.exit_status import of_signal
from service.cli.in_words import SHORT_ID_CHARS
from service.cli.interrupts import Interrupts
from service.cli.notes import has_colours, note
from service.cli.output import DESCRIPTORS, write
from service.client.failures import ServiceUnreachable
from service.client.results import End, Followed, Gap
from service.client.selection import Selectors
from service.client.sync_client import Client
from service.errors import JobrunnerError
from service.host.escaping import escaped

_COLOURS: Final = ("cyan", "yellow", "green", "magenta", "blue", "red")
_FILES: Final = {"stdout": sys.stdout, "stderr": sys.stderr}


def show_logs(
    service: Client,
    selectors: Selectors,
    *,
    after: str | None,
    follow: bool,
    timestamps: bool,
    again: Sequence[str],
) -> int:
    """Of the jobs that are selected, and with `follow` of those that come. `again` is the command
    that does the same once more; with `--after` it goes on.
    """
    titles, cursor = _Titles(service), after
    with (
        Interrupts() as interrupts,
        service.follow(after=after, follow=follow, lines=True, **selectors) as reading,
    ):
        try:
            while True:
                with interrupts.let_in():
                    told = next(reading, None)
                if told is None:
                    return 0
                _show(told, titles, timestamps=timestamps)
                cursor = told.cursor
        except KeyboardInterrupt:
            if follow:
                place = () if cursor is None else ("--after", cursor)
                note(f"Detached. To go on: {' '.join((*again, *place))}")
            return of_signal(signal.SIGINT)


def _show(told: Followed, titles: _Titles, *, timestamps: bool) -> None:
    record = told.record
    if isinstance(record, End):
        if record.error is not None:
            note(f"{titles.of(told.job_id).text}: {record.error}")
        titles.forget(told.job_id)
    elif isinstance(record, Gap):
        dropped = f"{record.end - record.start} bytes of output were dropped (OutputLimit)."
        note(f"{titles.of(told.job_id).text}: {dropped}")
    else:
        stamp = f"{record.time} " if timestamps else ""
        title = titles.of(told.job_id).shown(record.stream)
        write(DESCRIPTORS[record.stream], f"{title} | {stamp}".encode() + record.data + b"\n")


class _Title:
    """What stands before the lines of a job."""

    def __init__(self, text: str, colour: str) -> None:
        self.text = text
        coloured = click.style(text, fg=colour)
        self._shown = {
            stream: coloured if has_colours(file) else text for stream, file in _FILES.items()
        }

    def shown(self, stream: str) -> str:
        return self._shown[stream]


class _Titles:
    """Of the jobs that are being read: their names, with the ID where there is none, or another job
    has the same.
    """

    def __init__(self, service: Client) -> None:
        self._service = service
        self._titles: dict[str, _Title] = {}
        self._numbers = count()

    def of(self, job_id: str) -> _Title:
        if (known := self._titles.get(job_id)) is not None:
            return known
        colour = _COLOURS[next(self._numbers) % len(_COLOURS)]
        made = self._titles[job_id] = _Title(self._text(job_id), colour)
        return made

    def forget(self, job_id: str) -> None:
        self._titles.pop(job_id, None)

    def _text(self, job_id: str) -> str:
        short = job_id[:SHORT_ID_CHARS]
        try:
            name = self._service.job(job_id).show().name
        except (JobrunnerError, ServiceUnreachable):
            return short  # it was cleaned, or nobody can tell now
        if name is None:
            return short
        text = escaped(name)
        is_taken = any(text == title.text for title in self._titles.values())
        return f"{text} {short}" if is_taken else text
