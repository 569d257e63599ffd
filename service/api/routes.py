"""All routes, in the order in which they are described."""

from __future__ import annotations

from typing import Any, Final

from service.api import (
    attach,
    attach_many,
    change,
    events,
    file_removal,
    file_writing,
    files,
    health,
    jobs,
    lines,
    listing,
    login,
    metrics,
    openapi,
    output,
    release,
    rerun,
    selected,
    static_files,
    stdin,
    submit,
    terminal,
    ws,
)
from service.api.route import Handler, Route

# A route of one of these modules is there by its declaration; a new module is named here.
HANDLERS: Final[tuple[tuple[Route[Any], Handler[Any]], ...]] = (
    *submit.routes,
    *listing.routes,
    *selected.routes,
    *jobs.routes,
    *terminal.routes,
    *change.routes,
    *release.routes,
    *rerun.routes,
    *stdin.routes,
    *attach.routes,
    *output.routes,
    *lines.routes,
    *ws.routes,
    *attach_many.routes,
    *events.routes,
    *files.routes,
    *file_writing.routes,
    *file_removal.routes,
    *health.routes,
    *metrics.routes,
    *openapi.routes,
    *login.routes,
    *static_files.routes,
)
ROUTES: Final[tuple[Route[Any], ...]] = tuple(route for route, _ in HANDLERS)
