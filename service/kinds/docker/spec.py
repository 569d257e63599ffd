"""A command in a container as it is asked for, and what can be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec

from service.errors import FieldError, pointer_step, quoted
from service.jobs.checks import errors_in_text
from service.jobs.fields import CommandLine, Text, also
from service.jobs.rules import STRING, having, none_of
from service.jobs.spec import CommandSpec
from service.kinds.docker import words
from service.kinds.docker.allowed_images import is_allowed
from service.kinds.docker.environment import MAX_LINE_BYTES, is_passable
from service.kinds.docker.image import (
    IMAGE,
    MAX_CHARS,
    REGISTRY,
    REPOSITORY,
    TAG,
    is_image,
    is_registry,
    is_repository,
    is_tag,
)
from service.kinds.docker.networks import why_not
from service.kinds.docker.settings import DockerSettings
from service.kinds.docker.sources import source
from service.kinds.docker.volumes import VOLUME, NotAllowed, volume
from service.kinds.kind import Site
from service.kinds.shells import errors_in_argument
from service.settings import Settings

# Bytes: Docker refuses a smaller limit.
MIN_MEMORY: Final = 6 << 20
# Each path is looked up in the file system, when it is asked for and when it is used.
MAX_VOLUMES: Final = 100

_NETWORK: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"
_network: Final = re.compile(_NETWORK)

Memory = Annotated[int, msgspec.Meta(ge=MIN_MEMORY, le=2**63 - 1)]
CPUs = Annotated[float, msgspec.Meta(ge=0.01, le=100_000)]
PIDs = Annotated[int, msgspec.Meta(ge=1, le=2**22)]
Image = Annotated[str, also(pattern=f"^{IMAGE}$", maxLength=MAX_CHARS)]
Registry = Annotated[str, also(pattern=f"^({REGISTRY})?$", maxLength=MAX_CHARS)]
Repository = Annotated[str, also(pattern=f"^{REPOSITORY}$", maxLength=MAX_CHARS)]
Tag = Annotated[str, also(pattern=f"^({TAG})?$")]
Network = Annotated[str, also(pattern=f"^{_NETWORK}$")]
Arguments = Annotated[list[Text], also(minItems=1)]
# No maxLength, though `volume` has a bound: tools merge it into the pattern's quantifiers, and a
# quantifier of thousands beside a look-ahead is more than their engines bear.
Volume = Annotated[str, also(pattern=VOLUME)]
Volumes = Annotated[list[Volume], also(maxItems=MAX_VOLUMES)]
Entrypoint = Annotated[Text, also(minLength=1)]


class DockerCommand(
    CommandSpec,
    frozen=True,
    kw_only=True,
    rename="pascal",
    forbid_unknown_fields=True,
    tag_field="Kind",
    tag="docker",
):
    """A command in a container. Without a line and arguments the image's own command runs."""

    image: Image | None = None
    registry: Registry | None = None
    repository: Repository | None = None
    tag: Tag | None = None
    pull: Literal["missing", "always", "never"] = "missing"
    command_line: CommandLine | None = None
    shell: bool = False
    arguments: Arguments | None = None
    entrypoint: Entrypoint | None = None
    network: Network | None = None
    read_only: bool = False
    memory: Memory | None = None
    cpus: CPUs | None = msgspec.field(default=None, name="CPUs")
    pids: PIDs | None = msgspec.field(default=None, name="PIDs")
    volumes: Volumes = msgspec.field(default_factory=list)


# What `errors_in` checks between keys. A key that is null is as good as none. How a shell splits
# words, which paths of the host are allowed and which variables pass no pattern can say.
RULES: Final[dict[str, Any]] = none_of(
    *(having(Image=STRING, **{key: STRING}) for key in ("Registry", "Repository", "Tag")),
    none_of(having(Image=STRING), having(Repository=STRING)),
    having(CommandLine=STRING, Arguments={"type": "array", "items": {}}),
    {**having(Shell={"const": True}), **none_of(having(CommandLine=STRING))},
    having(Shell={"const": True}, Entrypoint=STRING),
)


def reference(spec: DockerCommand) -> str:
    """The image as Docker writes it."""
    if spec.image is not None:
        return spec.image
    registry = f"{spec.registry}/" if spec.registry else ""
    return f"{registry}{spec.repository}" + (f":{spec.tag}" if spec.tag else "")


def errors_in(spec: DockerCommand, pointer: str, site: Site) -> Iterator[FieldError]:
    """What is wrong with `spec` beyond its types and what all Kinds share."""
    yield from _errors_in_image(spec, pointer)
    yield from _errors_in_what_runs(spec, pointer)
    yield from _errors_not_allowed(spec, pointer, site.settings)
    limits = site.job.limits
    if limits is not None and 0 < (limits.memory or 0) < MIN_MEMORY:
        expected = f"expected at least {MIN_MEMORY} bytes for a job with a container at {pointer}"
        yield FieldError("/Limits/Memory", f"{expected}, got {limits.memory}")
    if len(spec.volumes) > MAX_VOLUMES:
        expected = f"expected at most {MAX_VOLUMES} volumes"
        yield FieldError(f"{pointer}/Volumes", f"{expected}, got {len(spec.volumes)}")
    for number, text in enumerate(spec.volumes[:MAX_VOLUMES]):
        place = f"{pointer}/Volumes/{number}"
        try:
            source(volume(text).source, site.settings)
        except NotAllowed as exc:
            yield FieldError(place, str(exc))
        except ValueError:
            yield from errors_in_text(text, place)
    if (directory := site.job.working_dir) is not None and directory.startswith("/"):
        try:
            source(directory, site.settings)
        except NotAllowed as exc:
            yield FieldError("/WorkingDir", f"{exc}, for the command in a container at {pointer}")
    of_job = site.job.environment if site.is_first else {}
    for where, environment in (("", of_job), (pointer, spec.environment)):
        for name, value in environment.items():
            if not is_passable(name, value):
                yield FieldError(
                    f"{where}/Environment/{pointer_step(name)}",
                    "expected a name without blanks and a value of one line, together at most"
                    f" {MAX_LINE_BYTES} bytes, for a variable of a command in a container: Docker's"
                    " client reads them as lines",
                )


def _errors_not_allowed(
    spec: DockerCommand, pointer: str, settings: Settings
) -> Iterator[FieldError]:
    """What the operator has to allow: the network and the image."""
    if spec.network is not None:
        if not _network.fullmatch(spec.network):
            yield FieldError(
                f"{pointer}/Network", f"expected a network's name, got {quoted(spec.network)}"
            )
        elif (why := why_not(spec.network, settings)) is not None:
            yield FieldError(f"{pointer}/Network", f"{why}, got {quoted(spec.network)}")
    image = reference(spec)
    allowed = settings.of(DockerSettings).docker_images
    if is_image(image) and not is_allowed(image, allowed):
        key = "Repository" if spec.image is None else "Image"
        expected = "expected an image that this service allows (JOBRUNNER_DOCKER_IMAGES)"
        patterns = " ".join(allowed)
        yield FieldError(f"{pointer}/{key}", f"{expected}, {patterns}; got {image[:80]!r}")


def _errors_in_image(spec: DockerCommand, pointer: str) -> Iterator[FieldError]:
    parts = {"Registry": spec.registry, "Repository": spec.repository, "Tag": spec.tag}
    if spec.image is not None:
        for key in (key for key, value in parts.items() if value is not None):
            yield FieldError(f"{pointer}/{key}", "expected either Image or Repository, got both")
        if not is_image(spec.image):
            expected = "expected an image as Docker writes it, [Registry/]Repository[:Tag]"
            yield FieldError(f"{pointer}/Image", f"{expected}, got {spec.image[:80]!r}")
        return
    if not spec.repository:
        yield FieldError(f"{pointer}/Repository", "expected an Image or a Repository, got neither")
    elif not is_repository(spec.repository):
        expected = "expected a path of lower-case names"
        yield FieldError(f"{pointer}/Repository", f"{expected}, got {spec.repository[:80]!r}")
    if spec.registry and not is_registry(spec.registry):
        expected = "expected a host name, with a port or without"
        yield FieldError(f"{pointer}/Registry", f"{expected}, got {spec.registry[:80]!r}")
    if spec.tag and not is_tag(spec.tag):
        expected = "expected at most 128 letters, digits and any of '_.-'"
        yield FieldError(f"{pointer}/Tag", f"{expected}, got {spec.tag[:80]!r}")


def _errors_in_what_runs(spec: DockerCommand, pointer: str) -> Iterator[FieldError]:
    if spec.command_line is not None and spec.arguments is not None:
        yield FieldError(pointer, "expected at most one of CommandLine and Arguments, got both")
    if spec.command_line is not None:
        yield from _errors_in_command_line(spec, f"{pointer}/CommandLine")
    elif spec.shell:
        yield FieldError(f"{pointer}/Shell", "expected Shell together with a CommandLine, got none")
    if spec.arguments is not None:
        if not spec.arguments:
            yield FieldError(
                f"{pointer}/Arguments", "expected at least one argument, got an empty list"
            )
        for number, argument in enumerate(spec.arguments):
            yield from errors_in_text(argument, f"{pointer}/Arguments/{number}")
            yield from errors_in_argument(argument, f"{pointer}/Arguments/{number}")
    if spec.entrypoint is not None:
        if not spec.entrypoint:
            yield FieldError(f"{pointer}/Entrypoint", "expected a program, got an empty string")
        if spec.shell:
            yield FieldError(
                f"{pointer}/Entrypoint", "expected either Entrypoint or Shell, got both"
            )
        yield from errors_in_text(spec.entrypoint, f"{pointer}/Entrypoint")


def _errors_in_command_line(spec: DockerCommand, pointer: str) -> Iterator[FieldError]:
    line = spec.command_line or ""
    if not line.strip():
        yield FieldError(pointer, "expected a command line, got an empty one")
    yield from errors_in_text(line, pointer)
    if spec.shell:
        yield from errors_in_argument(line, pointer)
    if not spec.shell and len(line) > words.MAX_CHARS:
        expected = f"expected at most {words.MAX_CHARS} characters to split into words"
        yield FieldError(pointer, f"{expected}, got {len(line)}; Arguments may be longer")
    elif not spec.shell:
        try:
            words.split(line)
        except ValueError as exc:
            yield FieldError(pointer, f"expected words as a shell splits them: {exc}")
