"""What a browser may do with a page: headers of the HTML and of the static files."""

from __future__ import annotations

from typing import Final

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATIC: Final = _ALWAYS


def page_headers(style_nonce: str | None = None) -> dict[str, str]:
    """Headers of an HTML response. `style_nonce`: what the terminal's style sheets carry, which
    xterm.js makes while it runs; no other page may have such.
    """
    styles = f" 'nonce-{style_nonce}'" if style_nonce else ""
    return {
        **_ALWAYS,
        "Content-Security-Policy": _POLICY.format(styles=styles),
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
