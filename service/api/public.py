"""The routes that need no token. A route is public because its declaration says so
(`ctx_public=True`); nothing follows from its path.
"""

from __future__ import annotations

from typing import Any, Final

# A public route changes nothing.
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def public_routes(router: Any) -> frozenset[tuple[str, str]]:
    """Method and path of each. A request for one has exactly this path: any other spelling, though
    the router may take it for the same, needs a token.

    Raises: ValueError, for a declaration that would make more public than one path.
    """
    found: set[tuple[str, str]] = set()
    for route in router.routes:
        if not getattr(route.ctx, "public", False):
            continue
        if route.params or not READING.issuperset(route.methods):
            raise ValueError(f"{route.path} can't be public: it has parameters, or changes things")
        found.update((method, f"/{route.path.strip('/')}") for method in route.methods)
    return frozenset(found)
