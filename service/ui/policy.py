"""What a browser may do with a page: headers of the HTML and of the static files."""

from __future__ import annotations

from typing import Final

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATIC: Final = _ALWAYS


def page_headers() -> dict[str, str]:
    """Headers of an HTML response."""
    return {
        **_ALWAYS,
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
