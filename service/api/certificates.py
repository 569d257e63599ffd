"""Client certificates: asked for in the TLS handshake, verified against one authority.

A client without one gets in as far as its token lets it.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from sanic.worker.loader import CertLoader


def loader_for(authority: Path) -> type[CertLoader]:
    """What Sanic loads its own certificate with, in each worker."""

    class Loader(CertLoader):
        def __init__(self, ssl_data: ssl.SSLContext | dict[str, str | os.PathLike[str]]) -> None:
            super().__init__(ssl_data)

        def load(self, app: Any) -> ssl.SSLContext | None:
            context: ssl.SSLContext | None = super().load(app) if self._ssl_data else None
            if context is not None:
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(authority)
            return context

    return Loader
