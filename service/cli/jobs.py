"""Jobs as people name them: an ID, the beginning of one, a name, `@last`."""

from __future__ import annotations

import uuid
from typing import Any, Final

import click

from service.client.sync_client import Client, Job
from service.jobs.states import LIVE

LAST: Final = "@last"
# As many as an error lists.
_SHOWN: Final = 5


class NoSuchJob(click.ClickException):
    """Nothing, or more than one thing, is called so."""


def job_of(client: Client, word: str) -> Job:
    """The job that `word` names. A name is that of the one live job that has it, else of the newest
    finished one.

    Raises: NoSuchJob.
    """
    if _is_id(word):
        return client.job(word.lower())
    if word == LAST:
        for newest in client.jobs(state="all", order="newest", limit=1):
            return newest
        raise NoSuchJob("There is no job yet.")
    found = {job.id: job for job in [*_named(client, word), *_beginning(client, word)]}
    match list(found.values()):
        case []:
            raise NoSuchJob(f"No job has the ID, or the name, {word!r}, or an ID that begins so.")
        case [job]:
            return job
        case several:
            ids = ", ".join(job.id for job in several[:_SHOWN])
            more = " and others" if len(several) > _SHOWN else ""
            raise NoSuchJob(f"{word!r} may be any of {ids}{more}.")


def _named(client: Client, name: str) -> list[Job]:
    exact = f"{name[:-1]}\\*" if name.endswith("*") else name
    newest: dict[str, Any] = {"name": exact, "order": "newest"}
    live = list(client.jobs(state=[state.value for state in LIVE], **newest, limit=_SHOWN + 1))
    return live or list(client.jobs(state="all", **newest, limit=1))


def _beginning(client: Client, word: str) -> list[Job]:
    if set(word.lower()) - set("0123456789abcdef-") or len(word) > 36:
        return []
    return list(client.jobs(state="all", id_prefix=word, limit=_SHOWN + 1))


def _is_id(word: str) -> bool:
    try:
        return len(word) == 36 and bool(uuid.UUID(word))
    except ValueError:
        return False
