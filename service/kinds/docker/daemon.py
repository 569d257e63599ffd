"""Whether Docker answers, and which containers jobs of this state directory left behind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from service.kinds.docker.ending import Said, Unreachable, call
from service.kinds.docker.plan import NAME_PREFIX, STATE_LABEL, client_of, state_token
from service.kinds.kind import Orphan
from service.kinds.plan import CannotRun
from service.settings import Settings

# Seconds: a daemon that takes longer is as good as none to whoever asks for the service's health.
_ANSWER_S: Final = 3.0
# Seconds: to remove a running container takes up to ten.
_REMOVE_S: Final = 30.0

_NAME: Final = re.compile(rf"{NAME_PREFIX}(?P<job>.+)-[0-9]+")


def fault(settings: Settings) -> str | None:
    """Why no container can be run now, in a sentence; None if one can."""
    try:
        said = _call(settings, "version", "--format", "{{.Server.Version}}", timeout_s=_ANSWER_S)
    except Unreachable as exc:
        return f"{exc}."
    return None if said.status == 0 else said.error.partition("\n")[0]


def orphans(settings: Settings) -> list[Orphan]:
    """Every container of this state directory, of live jobs too. Raises: CannotRun."""
    label = f"label={STATE_LABEL}={state_token(settings.state_dir)}"
    listing = ("ps", "--all", "--filter", label, "--format", "{{.Names}}")
    try:
        said = _call(settings, *listing, timeout_s=_ANSWER_S)
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    if said.status != 0:
        raise CannotRun(said.error.partition("\n")[0])
    names = said.output.decode(errors="replace").split()
    return [Orphan(found["job"], name) for name in names if (found := _NAME.fullmatch(name))]


def remove(settings: Settings, found: Sequence[Orphan]) -> None:
    """Remove these containers. Raises: CannotRun."""
    try:
        names = [orphan.name for orphan in found]
        said = _call(settings, "rm", "--force", "--volumes", *names, timeout_s=_REMOVE_S)
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    if said.status != 0 and not said.knows_no_container:
        raise CannotRun(said.error.partition("\n")[0])


def _call(settings: Settings, *arguments: str, timeout_s: float) -> Said:
    client = client_of(settings)
    environment = settings.service_environment
    return call(client, *arguments, timeout_s=timeout_s, environment=environment)
