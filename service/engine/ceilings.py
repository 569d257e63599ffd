"""What a job may use: its own limits within those of the service, and whether they can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.errors import FieldError
from service.jobs.spec import JobSpec, Limits
from service.link.protocol import Message
from service.settings import Settings


def ceilings(settings: Settings) -> Limits:
    """The most that any job may use, and what one may that doesn't say."""
    return Limits(
        memory=settings.limit_memory,
        cpus=settings.limit_cpus,
        pids=settings.limit_pids,
        open_files=settings.limit_open_files,
        file_size=settings.limit_file_size,
    )


def limits_of(spec: JobSpec, settings: Settings) -> dict[str, Any]:
    """What holds for a job, without what is not limited."""
    limits = spec.limits.within(ceilings(settings))
    named = ((name, getattr(limits, name)) for name in limits.__struct_fields__)
    return {name: most for name, most in named if most}


def unkept(spec: JobSpec, settings: Settings, hello: Message) -> Iterator[FieldError]:
    """Each limit that the supervisor that said `hello` can't keep, and why."""
    if not (limits := limits_of(spec, settings)):
        return
    known = hello.get("limits", {})
    names = dict(zip(Limits.__struct_fields__, Limits.__struct_encode_fields__, strict=True))
    for name in limits:
        why = known.get(name, "the supervisor that runs is of an older release")
        if why is not None:
            by_whom = "" if getattr(spec.limits, name) else "the service's own limit "
            yield FieldError(f"/Limits/{names[name]}", f"{by_whom}can't be kept: {why}")
