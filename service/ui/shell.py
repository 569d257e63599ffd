"""The HTML document: what a script starts from, and what is read without one.

No script and no style stands in it: a policy forbids both (`service.ui.policy`). What a script
needs to know stands in `data-` attributes of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

import msgspec

from service.ui.visible import visible


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What all documents of a service have in common. `prefix`: the path that it has behind a
    proxy; `tree`: the hash of the static files.

    `loads`: the style sheets and modules of a view. A browser gets them at once, where it would
    follow one import after the other.
    `user`, None without tokens: who is logged in; `scopes`: what they may do; `by_login`: whether
    they came by a login, and so can log out.
    """

    prefix: str
    tree: str
    loads: Callable[[str], tuple[Iterable[str], Iterable[str]]]
    user: str | None = None
    scopes: tuple[str, ...] = ()
    by_login: bool = False

    def document(self, view: str, title: str, body: str, /, **told: str | int | None) -> str:
        """The document. `view`: `list`, `job`, `login` or `error`; `body`: HTML that is shown
        without a script; `told`: what that view's script needs besides.
        """
        base = f"{self.prefix}/static/{self.tree}"
        data = {
            "view": view,
            "prefix": self.prefix,
            "user": self.user,
            "scopes": " ".join(self.scopes),
            "login": "" if self.by_login else None,
            **told,
        }
        attributes = "".join(
            f' data-{name}="{escape(str(value))}"'
            for name, value in data.items()
            if value is not None
        )
        sheets, modules = self.loads(view)
        links = [f'<link rel="stylesheet" href="{base}/{name}">\n' for name in sheets]
        links += [f'<link rel="modulepreload" href="{base}/{name}">\n' for name in modules]
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{visible(title)}</title>\n"
            f'<link rel="icon" href="{base}/icon.svg" type="image/svg+xml">\n'
            f'<script type="module" src="{base}/main.js"></script>\n{"".join(links)}'
            f'</head>\n<body{attributes}>\n<div id="root"></div>\n'
            f"<noscript>\n{self._header()}{body}</noscript>\n</body>\n</html>\n"
        )

    def _header(self) -> str:
        who = f'<span class="who">{visible(self.user)}</span>' if self.user else ""
        return (
            f'<header class="bar"><a class="brand" href="{self.prefix}/">jobrunner</a>'
            f"{who}</header>\n"
        )
