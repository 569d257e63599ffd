"""Which service is meant: by an option, else the environment, else the current context.

A context's token goes to that context's URL only; one of the environment goes wherever the command
speaks to, unless --context names a context.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import click

from service.cli import contexts
from service.client.address import DEFAULT_URL, TOKEN, TOKEN_FILE, URL


class Destination(NamedTuple):
    """A service.

    Attributes:
        source: what named it, as a person knows it.
        token: None: that of the environment; empty: none.
        ca: the path of a CA's certificate.
        context: the name, if a context it is.
    """

    url: str
    source: str
    token: str | None = None
    ca: str | None = None
    context: str | None = None

    def __repr__(self) -> str:
        return f"Destination(url={self.url!r}, source={self.source!r}, context={self.context!r})"


def destination(
    url: str | None = None,
    context: str | None = None,
    environment: Mapping[str, str] = os.environ,  # noqa: TID251 - the caller's shell
) -> Destination:
    """Raises: UsageError, ContextError."""
    if url and context:
        raise click.UsageError("Expected one of --url and --context.")
    if context:
        found = contexts.read(contexts.path_of(environment)).named(context)
        return _of_context(found, context, "--context")
    if url:
        return Destination(url=url, source="--url")
    if of_environment := environment.get(URL):
        return Destination(url=of_environment, source=URL)
    stored = contexts.read(contexts.path_of(environment))
    if stored.current is None:
        return Destination(url=DEFAULT_URL, source="the default")
    found = stored.named(stored.current)
    if token_source := next((name for name in (TOKEN, TOKEN_FILE) if environment.get(name)), None):
        return Destination(
            url=found.url,
            ca=found.ca,
            source=f"the current context, with the token of {token_source}",
            context=stored.current,
        )
    return _of_context(found, stored.current, "the current context")


def _of_context(found: contexts.Context, name: str, source: str) -> Destination:
    return Destination(
        url=found.url, token=found.token or "", ca=found.ca, source=source, context=name
    )
