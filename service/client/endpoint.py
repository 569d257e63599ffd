"""What `Client` and `AsyncClient`, `Job` and `AsyncJob` have in common: how they are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

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
        self._connections = self._connect(address, verify)

    @abstractmethod
    def _connect(self, address: Address, verify: Verify) -> C: ...

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
