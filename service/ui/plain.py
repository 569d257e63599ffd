"""What a page shows without a script: the list with its filters, and a job with its last output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from service.jobs.views import JobView
from service.ui.visible import visible

_STATES: Final = ("pending", "running", "exited", "killed")
_SHAPES: Final = {"pending": "◌", "running": "●", "killed": "⊘"}
# Characters of a command that a row shows.
_COMMAND_CHARS: Final = 120


def in_words(view: JobView) -> str:
    """How a job stands, in a few words."""
    if view.state == "pending":
        return "held" if view.hold else "pending"
    if view.state == "running":
        return "waits for input" if view.waiting_for_input else "running"
    if view.state == "killed":
        return f"killed · {view.reason}"
    if view.error is not None:
        return view.error
    if view.signal is not None:
        return f"died of {view.signal}"
    return f"exited {view.exit_code}"


def job_list(
    prefix: str, views: Iterable[JobView], total: int, state: str, following: Mapping[str, str]
) -> str:
    """The list. `state`: the filter; `following`: the parameters of the next page, if any."""
    filters = "".join(
        f'<a href="{prefix}/?state={name}"{_current(name == state)}>{name}</a>\n'
        for name in ("all", *_STATES)
    )
    rows = "".join(_row(prefix, view) for view in views)
    found = f"{total:,} job{'' if total == 1 else 's'}".replace(",", " ")
    empty = "" if rows else "<p>No such job. Submit one: <code>jobrunner run -- COMMAND</code></p>"
    link = f"{prefix}/?{urlencode(following)}"
    more = f'<p><a rel="next" href="{escape(link)}">Next page</a></p>' if following else ""
    return (
        f'<nav class="filters" aria-label="State">{filters}</nav>\n<main>\n<h1>{found}</h1>\n'
        "<table>\n<thead><tr><th>State</th><th>Job</th><th>Command</th><th>Submitted</th></tr>"
        f"</thead>\n<tbody>\n{rows}</tbody>\n</table>\n{empty}{more}</main>\n"
    )


def job(prefix: str, view: JobView, output: bytes, size: int) -> str:
    """A job: its facts, and `output`, the last bytes of `size`."""
    facts: list[tuple[str, Any]] = [
        ("State", f"{shape(view)} {in_words(view)}"),
        ("ID", view.id),
        ("Name", view.name),
        ("Labels", ", ".join(f"{key}={value}" for key, value in view.labels.items())),
        ("Submitted", view.created_at),
        ("Started", view.started_at),
        ("Finished", view.finished_at),
        ("Seconds", view.duration),
        ("Directory", view.working_dir),
        ("Variables", ", ".join(view.environment)),
    ]
    facts += [(f"Command {n}", command_line(c)) for n, c in enumerate(view.commands, 1)]
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd>{visible(str(value))}</dd>\n"
        for name, value in facts
        if value not in (None, "")
    )
    begin = size - len(output)
    which = f"The last {len(output)} of {size} bytes" if begin else f"All {size} bytes"
    text = visible(output.decode(errors="replace"))
    where = f"{prefix}/{view.id}/output"
    return (
        f"<main>\n<h1>{visible(view.name or view.id)}</h1>\n<dl>\n{listed}</dl>\n"
        f'<h2>Output</h2>\n<p>{which}. <a href="{where}">All of it</a></p>\n'
        f'<pre tabindex="0">{text}</pre>\n</main>\n'
    )


def login() -> str:
    """Said in the place of a form, which needs a script."""
    return (
        "<main>\n<h1>Log in</h1>\n<p>To log in this page needs JavaScript. Without it use the"
        " command line: <code>jobrunner login URL</code></p>\n</main>\n"
    )


def error(title: str, detail: str) -> str:
    """What went wrong, as a sentence."""
    return f"<main>\n<h1>{visible(title)}</h1>\n<p>{visible(detail)}</p>\n</main>\n"


def command_line(command: Mapping[str, Any]) -> str:
    """What a command runs, in one line of text."""
    line = command.get("CommandLine")
    if line is None:
        line = " ".join(command.get("Arguments") or ())
    return " ".join(part for part in (command.get("Image"), line) if part)


def shape(view: JobView) -> str:
    """The state by a shape."""
    return _SHAPES.get(view.state) or ("✓" if view.exit_code == 0 else "✕")


def _row(prefix: str, view: JobView) -> str:
    lines = "; ".join(command_line(command) for command in view.commands)[:_COMMAND_CHARS]
    return (
        f"<tr><td>{shape(view)} {visible(in_words(view))}</td>"
        f'<td><a href="{prefix}/{view.id}">{visible(view.name or view.id)}</a></td>'
        f"<td><code>{visible(lines)}</code></td><td>{view.created_at}</td></tr>\n"
    )


def _current(is_current: bool) -> str:  # noqa: FBT001 - a value, not a mode
    return ' aria-current="page"' if is_current else ""
