"""Connections over which nobody has proven yet who calls: fewer than there are descriptors.

When there is no room for one more the oldest is closed. So a client with a good token gets in while
somebody else, from the same address too, holds as many connections as they may: it needs its place
for one request, and those that wait longest lose theirs. What has been proven counts no more.
"""

from __future__ import annotations

import resource
from typing import Final, Protocol

from service.access.addresses import network, parsed
from service.access.origins import is_loopback

# Of the descriptors of a worker, what unknown ones may take; and how many of them, with the reserve
# (`service.web.fd_reserve`), are for those that are known, for logs and for records.
_SHARE: Final = 0.75
_KEPT: Final = 128
# Of all unknown connections, how many may come from one address. Loopback is the address of all
# users of a host, and of those behind a proxy.
_OF_ONE_ADDRESS: Final = 0.25


class Stranger(Protocol):
    """A connection that isn't known."""

    def evict(self) -> None:
        """Close it now."""


class Strangers:
    """One in each worker. `most`: 0 for any number."""

    def __init__(self, most: int, descriptors: int | None = None) -> None:
        if descriptors is None:
            descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        bound = min(int(descriptors * _SHARE), max(descriptors - _KEPT, descriptors // 2))
        self.most = min(most or bound, bound)
        self.most_of_one = max(1, int(self.most * _OF_ONE_ADDRESS))
        # Dictionaries keep their order: the oldest comes first.
        self._networks: dict[Stranger, str] = {}
        self._of: dict[str, dict[Stranger, None]] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def add(self, stranger: Stranger, address: str) -> None:
        """It has just been accepted; another one may be closed for it."""
        network = network_of(address)
        others = self._of.setdefault(network, {})
        if network and len(others) >= self.most_of_one:
            self._evict(next(iter(others)))
        elif len(self._networks) >= self.most:
            self._evict(next(iter(self._networks)))
        self._networks[stranger] = network
        self._of.setdefault(network, others)[stranger] = None

    def discard(self, stranger: Stranger) -> None:
        """It is known now, or gone."""
        if (network := self._networks.pop(stranger, None)) is None:
            return
        others = self._of[network]
        del others[stranger]
        if not others:
            del self._of[network]

    def _evict(self, stranger: Stranger) -> None:
        self.discard(stranger)
        stranger.evict()


def network_of(address: str) -> str:
    """What stands for one client in the bounds; empty for a Unix socket's and for loopback."""
    address = parsed(address) or address
    return "" if not address or is_loopback(address) else network(address)
