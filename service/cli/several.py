"""Several jobs, one after the other: what goes wrong with one is told, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from service.cli.exit_status import FAILED
from service.cli.jobs import NoSuchJob, job_of
from service.cli.notes import note
from service.client.selection import Selectors
from service.client.sync_client import Client, Job
from service.errors import BadQuery, JobrunnerError, MissingScope, Unauthenticated

# These are about the request, not about a job: every other one would end so, too.
_ABOUT_ALL = (BadQuery, MissingScope, Unauthenticated)


class Several:
    """`status` is that of the command: 0, or 125 when something was told."""

    def __init__(self) -> None:
        self.status = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """What is done to one of them."""
        try:
            yield
        except _ABOUT_ALL:
            raise
        except (NoSuchJob, JobrunnerError) as exc:
            note(f"{exc}")
            self.status = FAILED

    def named(self, client: Client, words: Sequence[str]) -> Iterator[Job]:
        """The jobs that there are, each once."""
        seen: set[str] = set()
        for word in words:
            with self.one():
                job = job_of(client, word)
                if job.id not in seen:
                    seen.add(job.id)
                    yield job


def check_named_or_selected(words: Sequence[str], selectors: Selectors, *, every: bool) -> None:
    """Raises: UsageError, unless exactly one way says which jobs are meant."""
    if sum(map(bool, (words, selectors, every))) != 1:
        got = "nothing" if not (words or selectors or every) else "more than one of them"
        raise click.UsageError(f"Expected jobs, options that select some, or --all, got {got}.")
