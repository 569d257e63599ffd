"""Whether the supervisor that runs can keep the limits of a job."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import FieldError
from service.jobs.limits import WIRE_NAMES, effective_limits
from service.jobs.spec import JobSpec
from service.link.from_supervisor import SupervisorHello
from service.settings import Settings


def unkept(spec: JobSpec, settings: Settings, hello: SupervisorHello) -> Iterator[FieldError]:
    """Each limit that the supervisor that said `hello` can't keep, and why."""
    if not (limits := effective_limits(spec.limits, settings).in_force()):
        return
    known = hello["unsupported_limits"]
    for name in limits:
        why = known.get(name, "the supervisor that runs is of an older release")
        if why is not None:
            by_whom = "" if getattr(spec.limits, name) else "the service's own limit "
            yield FieldError(f"/Limits/{WIRE_NAMES[name]}", f"{by_whom}can't be kept: {why}")
