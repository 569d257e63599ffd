"""`app.ctx`: what the parts of one process share, with the type of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # types alone: some of these modules import the request, which imports this one
    import ssl

    from service.access.admission import Admission
    from service.access.audit import AuditLog
    from service.access.scopes import Principal
    from service.engine.engine import Engine
    from service.engine.kinds_health import KindsHealth
    from service.metrics.series import Metrics
    from service.settings import Settings
    from service.store import Store
    from service.web.access_log import AccessLog
    from service.web.cors import Cors
    from service.web.listening import Listening
    from service.web.open_streams import OpenStreams
    from service.web.strangers import Strangers


class Gate(Protocol):
    """Decides about every request before it is routed."""

    def admit(self, request: Any) -> Principal:
        """Raises: JobrunnerError."""

    def leave(self, request: Any) -> None:
        """Called once for every request that was admitted."""

    async def log_in(self, request: Any, token: str) -> tuple[Principal, str]:
        """Raises: JobrunnerError."""

    async def log_out(self, request: Any) -> Principal | None:
        """Raises: JobrunnerError."""


class Context(SimpleNamespace):
    """The settings, and what it listens on, are there from the beginning. Everything else is there
    in workers only, and set before the first connection is accepted.
    """

    settings: Settings
    listening: Listening
    cors: Cors | None  # None: no page of another site may call
    tls: ssl.SSLContext | None  # of the connections that are accepted
    strangers: Strangers
    store: Store
    audit_log: AuditLog
    admission: Admission
    gate: Gate
    metrics: Metrics
    access_log: AccessLog
    kinds_health: KindsHealth
    engine: Engine
    open_streams: OpenStreams
