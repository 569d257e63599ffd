"""What goes wrong that is no problem document of the service: each with a sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.client.results import Result


class ServiceUnreachable(ConnectionError):
    """Nothing answered in time. `may_have_happened`: the service may have got the request."""

    def __init__(self, url: str, why: str, *, may_have_happened: bool = False) -> None:
        super().__init__(
            f"No service answers at {url} ({why}). Start one with `jobrunner serve`, or set"
            " JOBRUNNER_URL."
        )
        self.url, self.why, self.may_have_happened = url, why, may_have_happened


class UnexpectedAnswer(Exception):
    """An answer that this service doesn't give: what answers is another one, or a proxy."""


class ClientClosed(Exception):
    """`close()` was called; also while this call waited."""

    def __init__(self) -> None:
        super().__init__("The client is closed.")


class CommandFailed(Exception):
    """A job of `run(check=True)` didn't exit with 0. `result` has its output."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"The job {result.job.id} {result.ending}.")
        self.result = result
