"""Limits of a job: what it asks for, what the service allows, and the lower of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from service.errors import FieldError
from service.jobs.fields import MIN_OUTPUT_LIMIT, zero_or_at_least

if TYPE_CHECKING:  # a reader of views needs the struct, and no settings
    from service.settings import Settings

# Below it no shell starts, and nothing could report why.
LOWEST_LIMITS: Final = {
    "memory": (4 << 20, "bytes"),
    "cpus": (0.01, "processors"),
    "pids": (1, "processes"),
    "open_files": (16, "descriptors"),
    "file_size": (512, "bytes"),
}


def _or_none(name: str) -> msgspec.Meta:
    return zero_or_at_least(LOWEST_LIMITS[name][0])


class Limits(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """What a job may use: bytes of memory, processors, processes; and each process of it: open
    descriptors, bytes of a file. None, or 0: as much as the service allows.
    """

    memory: Annotated[int, msgspec.Meta(ge=0, le=2**60), _or_none("memory")] | None = None
    cpus: Annotated[float, msgspec.Meta(ge=0, le=100_000), _or_none("cpus")] | None = msgspec.field(
        default=None, name="CPUs"
    )
    pids: Annotated[int, msgspec.Meta(ge=0, le=2**22), _or_none("pids")] | None = msgspec.field(
        default=None, name="PIDs"
    )
    open_files: Annotated[int, msgspec.Meta(ge=0, le=2**30), _or_none("open_files")] | None = None
    file_size: Annotated[int, msgspec.Meta(ge=0, le=2**60), _or_none("file_size")] | None = None

    def in_force(self) -> dict[str, float]:
        """Those that there are, by the names of the fields."""
        named = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: most for name, most in named if most}


WIRE_NAMES: Final = dict(
    zip(Limits.__struct_fields__, Limits.__struct_encode_fields__, strict=True)
)


def _allowed(settings: Settings) -> Limits:
    """The most that any job may use."""
    return Limits(
        memory=settings.limit_memory,
        cpus=settings.limit_cpus,
        pids=settings.limit_pids,
        open_files=settings.limit_open_files,
        file_size=settings.limit_file_size,
    )


def effective_limits(asked: Limits, settings: Settings) -> Limits:
    """The lower of what a job asks for and what the service allows now; None: unlimited.

    The service's may have become lower since the job was accepted.
    """
    lowest = asked.in_force()
    for name, most in _allowed(settings).in_force().items():
        lowest[name] = min(lowest.get(name, most), most)
    return Limits(**lowest)  # type: ignore[arg-type]  # a value keeps the type of its field


def effective_output_limit(asked: int, settings: Settings) -> int:
    """The same for the bytes of output that are kept; 0: unlimited."""
    return min((limit for limit in (asked, settings.output_limit) if limit), default=0)


def errors_in_limits(asked: Limits, settings: Settings) -> Iterator[FieldError]:
    """Each limit that is too low for any job, or above what the service allows."""
    allowed = _allowed(settings)
    for name, (lowest, unit) in LOWEST_LIMITS.items():
        value, ceiling = getattr(asked, name) or 0, getattr(allowed, name)
        pointer = f"/Limits/{WIRE_NAMES[name]}"
        if 0 < value < lowest:
            yield FieldError(pointer, f"expected 0 or at least {lowest} {unit}, got {value}")
        if ceiling and value > ceiling:
            expected = f"expected at most {ceiling} {unit}, this service's own limit"
            yield FieldError(pointer, f"{expected}, got {value}")


def errors_in_output_limit(asked: int, settings: Settings) -> Iterator[FieldError]:
    """What is wrong with the bytes of output that a job asks to keep."""
    if 0 < asked < MIN_OUTPUT_LIMIT:
        expected = f"expected 0 or at least {MIN_OUTPUT_LIMIT} bytes"
        yield FieldError("/OutputLimit", f"{expected}, got {asked}")
    if 0 < settings.output_limit < asked:
        expected = f"expected at most {settings.output_limit} bytes, this service's own limit"
        yield FieldError("/OutputLimit", f"{expected}, got {asked}")
