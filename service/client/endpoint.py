"""What `Client` and `AsyncClient`, `Job` and `AsyncJob` have in common: how they are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Generic, Self, TypeVar

from service.client.address import Address, address_of
from service.client.http import Verify
from service.client.retrying import Policy, Retry, quietly
from service.jobs.views import JobView

C = TypeVar("C")


class Endpoint(ABC, Generic[C]):
    """A service, which is reached by connections of the kind `C`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 10.0,
        verify: Verify = True,
        on_retry: Callable[[Retry], None] = quietly,
    ) -> None:
        address = address_of(url, token)
        self.url = address.url
        self._policy = Policy(url=address.url, timeout_s=timeout, on_retry=on_retry)
        self._made_with = address, verify
        self._connections = self._connect(address, verify)

    @abstractmethod
    def _connect(self, address: Address, verify: Verify) -> C: ...

    def separate(self) -> Self:
        """Another client of the same service, with connections of its own.

        An exception that breaks into a call, as that of a signal's handler does, may leave a lock
        of what carries the connections locked for good. It is another client's that goes on.

        >>> client.separate().url == client.url
        True
        """
        made = copy(self)
        made._connections = self._connect(*self._made_with)  # noqa: SLF001 - one of our own
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class JobOf(Generic[C]):
    """A job of a service. `view` is what was last heard of it, None before anything was."""

    def __init__(self, client: Endpoint[C], job_id: str, view: JobView | None = None) -> None:
        self.id = job_id
        self.view = view
        self._client = client
        self._policy = client._policy  # noqa: SLF001 - one thing in two classes
        self._connections = client._connections  # noqa: SLF001 - the same

    def separate(self) -> Self:
        """The same job, by connections of its own.

        >>> job.separate().id == job.id
        True
        """
        return type(self)(self._client.separate(), self.id, self.view)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
