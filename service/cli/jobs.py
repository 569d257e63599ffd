"""Jobs as people name them: an ID, the beginning of one, a name, `@last`. Shells
complete them.
"""

from __future__ import annotations

import re
import uuid
from importlib import import_module
from typing import Any, Final

import click

from service.cli.target import client_of
from service.client.sync_client import Client, Job
from service.jobs.states import JOB_STATES, LIVE

LAST: Final = "@last"
# As many as an error lists.
_SHOWN: Final = 5
# As many as a shell lists without a question.
_COMPLETED: Final = 50


class JobWord(click.ParamType[str]):
    """One of these words. A shell completes it with jobs that are in one of the states."""

    name = "job"

    def __init__(self, *states: str) -> None:
        self._states = states or ("all",)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        del param
        completing = import_module("service.cli.completing")
        found: dict[str, str] = {}
        with completing.quietly(), client_of(ctx, 0) as client:
            found = _candidates(client, incomplete, list(self._states))
        made: list[click.shell_completion.CompletionItem[str]]
        made = completing.beginning(found.items(), incomplete)
        return made


JOB: Final = JobWord()
LIVE_JOB: Final = JobWord(*(state.value for state in LIVE))
FINISHED_JOB: Final = JobWord(*(state.value for state in JOB_STATES if state not in LIVE))


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


_PLAIN: Final = re.compile(r"[\w.%+:/][\w.@%+:/-]*")


def is_plain(word: str) -> bool:
    """Whether it is one word for every shell, and no option, so that it may stand in a line as it
    is.
    """
    return _PLAIN.fullmatch(word) is not None


def _candidates(client: Client, incomplete: str, states: list[str]) -> dict[str, str]:
    """Names and IDs that may begin so. A job has its name, unless a shell would take that for
    something else.
    """
    newest: dict[str, Any] = {"state": states, "order": "newest", "limit": _COMPLETED}
    found: dict[str, str] = {}
    if LAST.startswith(incomplete) and list(client.jobs(state="all", limit=1)):
        found[LAST] = "the one that was submitted last"
    if not incomplete:
        listed = list(client.jobs(**newest))
    else:
        listed = list(client.jobs(name=f"{incomplete}*", **newest))
    for job in listed:
        assert job.view is not None  # noqa: S101 - a list has them
        if job.view.name is not None and is_plain(job.view.name):
            found.setdefault(job.view.name, f"{job.view.state}, {job.id}")
        else:
            found[job.id] = job.view.state
    if incomplete and may_begin_an_id(incomplete):
        for job in client.jobs(id_prefix=incomplete, **newest):
            assert job.view is not None  # noqa: S101 - as above
            found[job.id] = job.view.state + (f", {job.view.name}" if job.view.name else "")
    return found


def _named(client: Client, name: str) -> list[Job]:
    exact = f"{name[:-1]}\\*" if name.endswith("*") else name
    newest: dict[str, Any] = {"name": exact, "order": "newest"}
    live = list(client.jobs(state=[state.value for state in LIVE], **newest, limit=_SHOWN + 1))
    return live or list(client.jobs(state="all", **newest, limit=1))


def _beginning(client: Client, word: str) -> list[Job]:
    if not may_begin_an_id(word):
        return []
    return list(client.jobs(state="all", id_prefix=word, limit=_SHOWN + 1))


def may_begin_an_id(word: str) -> bool:
    """Whether it is worth asking for."""
    return len(word) <= 36 and not set(word.lower()) - set("0123456789abcdef-")


def _is_id(word: str) -> bool:
    try:
        return len(word) == 36 and bool(uuid.UUID(word))
    except ValueError:
        return False
