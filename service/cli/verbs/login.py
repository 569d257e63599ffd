"""`jobrunner login`: stores a service with its token, once the service has accepted it."""

from __future__ import annotations

import os
import ssl
import sys

import click

from service.cli import contexts
from service.cli.contexts import Context, ContextError, Contexts
from service.cli.notes import note
from service.client.address import URL, Address, address_of
from service.client.failures import ServiceUnreachable
from service.client.sync_client import Client
from service.errors import Unauthenticated

_HELP = """Store a service and its token, and speak to it from now on.

The token is asked for without an echo, or read from standard input. It is stored when the service
has accepted it, in a file that only you can read. For a service without tokens none is asked for.

The service is stored as a context, which becomes the current one. $JOBRUNNER_URL and
$JOBRUNNER_TOKEN, where they are set, still win. `jobrunner context rm NAME` logs out.

\b
Examples:
  jobrunner login https://build.example.org
  jobrunner login --name lab --ca lab-ca.pem https://lab.example.org/jobs <token.txt
  jobrunner login unix:///run/jobrunner/http.sock

\b
Exit status: 0; 125 when no service answers, or it refuses the token; 2 for wrong usage.
"""

# Far more than a token has.
_MAX_CHARS = 4096


@click.command("login", help=_HELP, short_help="store a service and its token")
@click.argument("url", metavar="URL")
@click.option("--name", metavar="NAME", help="The context's name (default: the host's).")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, readable=True),
    metavar="FILE",
    help="The certificate of the authority that vouches for the service, in PEM.",
)
def command(url: str, name: str | None, ca: str | None) -> None:
    path = contexts.path_of()
    try:
        address = address_of(url, "")
        if ca is not None:
            ssl.create_default_context(cafile=ca)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    except ssl.SSLError as exc:
        raise click.UsageError(f"Expected a certificate in PEM in {ca}.") from exc
    named = contexts.checked_name(name or contexts.name_for(url))
    if name is None:
        _check_free(contexts.read(path), named, url)
    ca = os.path.abspath(ca) if ca is not None else None
    context = Context(url=url, token=_accepted_token(address, ca), ca=ca)
    contexts.change(
        path, lambda found: Contexts(current=named, contexts={**found.contexts, named: context})
    )
    how = "with your token" if context.token is not None else "without a token: it asks for none"
    print(f"The context {named} is {url}, {how}. It is the current one.")
    if os.environ.get(URL):  # noqa: TID251 - the caller's shell
        note(f"{URL} is set here, and wins over it.")


def _check_free(stored: Contexts, name: str, url: str) -> None:
    """A login again replaces; another service by chance must not."""
    if (found := stored.contexts.get(name)) is not None and found.url.rstrip("/") != url.rstrip(
        "/"
    ):
        raise ContextError(
            f"The context {name} is {found.url}; give this one another name by --name."
        )


def _accepted_token(address: Address, ca: str | None) -> str | None:
    """None where the service wants none. Raises: ClickException."""
    if _accepts(address.url, "", ca) is None:
        return None
    if not address.is_tls and not address.is_local:
        note("The token will go over the network unencrypted: the URL isn't https.")
    token = _given()
    if (refusal := _accepts(address.url, token, ca)) is not None:
        raise click.ClickException(f"{address.url} refuses the token: {refusal}")
    return token


def _accepts(url: str, token: str, ca: str | None) -> str | None:
    """Why the service doesn't accept the token, or none; None if it does."""
    # A wrong URL is told at once.
    with Client(url, token, timeout=0, verify=ca or True) as client:
        try:
            list(client.jobs(limit=1))
        except Unauthenticated as exc:
            return exc.detail
        except ServiceUnreachable as exc:
            if "CERTIFICATE_VERIFY_FAILED" in exc.why:
                raise click.ClickException(
                    f"The certificate of {url} can't be verified ({exc.why}). --ca names a file"
                    " with the certificate of its authority."
                ) from exc
            raise click.ClickException(f"No service answers at {url} ({exc.why}).") from exc
    return None


def _given() -> str:
    """What the person, or standard input, says. Raises: ClickException."""
    if sys.stdin.isatty():
        token: str = click.prompt("Token", hide_input=True, err=True)
    else:
        token = sys.stdin.buffer.read(_MAX_CHARS).decode(errors="replace")
    token = token.strip()
    if not token or len(token) >= _MAX_CHARS or not token.isascii() or not token.isprintable():
        what = "nothing" if not token else "something else"
        raise click.ClickException(f"Expected a token, got {what}.")
    if " " in token:
        raise click.ClickException("Expected a token, which is one word, got several.")
    return token
