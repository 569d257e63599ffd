"""What the running supervisor can't do of a job: it is of an older release, or its host can't."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import FieldError
from service.jobs.ceilings import NO_CEILINGS, Ceilings
from service.jobs.limits import WIRE_NAMES, effective_limits
from service.jobs.spec import JobSpec
from service.kinds import kind_of
from service.link.capabilities import (
    CEILINGS,
    FILES,
    GROUPS,
    HOLD,
    IDLE_TIMEOUT,
    INPUT,
    NO_NEW_PRIVS,
    OPTIONS,
    PRIORITY,
    QUEUE_TIMEOUT,
    RUN_AS,
    TERMINAL,
)
from service.link.from_supervisor import SupervisorHello
from service.settings import Settings


def unsupported(
    spec: JobSpec, settings: Settings, hello: SupervisorHello, ceilings: Ceilings = NO_CEILINGS
) -> list[FieldError]:
    """What the supervisor that said `hello` can't do: an older release would ignore it."""
    asked: dict[str, tuple[str, object]] = {
        IDLE_TIMEOUT: ("/IdleTimeout", spec.idle_timeout_s),
        QUEUE_TIMEOUT: ("/QueueTimeout", spec.queue_timeout_s),
        PRIORITY: ("/Priority", spec.priority),
        HOLD: ("/Hold", spec.hold),
        FILES: ("/Files", spec.files),
        INPUT: ("/Stdin", spec.stdin),
        RUN_AS: ("", settings.run_as),
        GROUPS: ("", settings.run_as and settings.run_as.groups),
        CEILINGS: ("", ceilings.pending or ceilings.running),
        OPTIONS: ("", settings.sandbox != "off"),
        NO_NEW_PRIVS: ("", settings.run_as and not settings.allow_new_privileges),
        TERMINAL: ("/TTY", spec.tty),
    }
    for number, command in enumerate(spec.commands):
        for key, what in kind_of(command).needs(command):
            asked.setdefault(what, (f"/Commands/{number}/{key}", True))
    known = hello["capabilities"]
    why = (
        "can't be kept: the supervisor that runs is of an older release"
        " (`jobrunner supervisor upgrade` makes it the installed one)"
    )
    return [
        FieldError(pointer, why)
        for what, (pointer, value) in asked.items()
        if value and what not in known
    ]


def unsupported_limits(
    spec: JobSpec, settings: Settings, hello: SupervisorHello
) -> Iterator[FieldError]:
    """Each limit that the supervisor that said `hello` can't keep, and why."""
    if not (limits := effective_limits(spec.limits, settings).in_force()):
        return
    if all(kind_of(command).keeps_limits for command in spec.commands):
        return
    known = hello["unsupported_limits"]
    for name in limits:
        why = known.get(name, "the supervisor that runs is of an older release")
        if why is not None:
            by_whom = "" if getattr(spec.limits, name) else "the service's own limit "
            yield FieldError(f"/Limits/{WIRE_NAMES[name]}", f"{by_whom}can't be kept: {why}")
