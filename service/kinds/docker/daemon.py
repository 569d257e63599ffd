"""Whether Docker answers, and which containers jobs of this state directory left behind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from service.kinds.docker.ending import ClientResult, Unreachable, call
from service.kinds.docker.plan import NAME_PREFIX, STATE_LABEL, client_of, state_token
from service.kinds.docker.settings import DockerSettings
from service.kinds.kind import Orphan
from service.kinds.plan import CannotRun
from service.settings import Settings

# Seconds: a daemon that takes longer counts as unreachable in a readiness check.
_ANSWER_S: Final = 3.0
# Seconds: to remove a running container takes up to ten.
_REMOVE_S: Final = 30.0

_NAME: Final = re.compile(rf"{NAME_PREFIX}(?P<job>.+)-[0-9]+")


def fault(settings: Settings) -> str | None:
    """Why no container can be run now, in a sentence; None if one can."""
    try:
        result = _call(settings, "version", "--format", "{{.Server.Version}}", timeout_s=_ANSWER_S)
    except Unreachable as exc:
        return f"{exc}."
    return None if result.status == 0 else result.error.partition("\n")[0]


def orphans(settings: Settings) -> list[Orphan]:
    """Every container of this state directory, of live jobs too. Raises: CannotRun."""
    label = f"label={STATE_LABEL}={state_token(settings.state_dir)}"
    listing = ("ps", "--all", "--filter", label, "--format", "{{.Names}}")
    try:
        result = _call(settings, *listing, timeout_s=_ANSWER_S)
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    if result.status != 0:
        raise CannotRun(result.error.partition("\n")[0])
    names = result.output.decode(errors="replace").split()
    return [Orphan(found["job"], name) for name in names if (found := _NAME.fullmatch(name))]


def remove(settings: Settings, found: Sequence[Orphan]) -> None:
    """Remove these containers. Raises: CannotRun."""
    try:
        names = [orphan.name for orphan in found]
        result = _call(settings, "rm", "--force", "--volumes", *names, timeout_s=_REMOVE_S)
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    if result.status != 0 and not result.knows_no_container:
        raise CannotRun(result.error.partition("\n")[0])


def _call(settings: Settings, *arguments: str, timeout_s: float) -> ClientResult:
    client = client_of(settings)
    environment = settings.environment_for(DockerSettings)
    return call(client, *arguments, timeout_s=timeout_s, environment=environment)
