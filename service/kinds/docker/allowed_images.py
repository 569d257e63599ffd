"""Which images the operator allows, by the patterns of `JOBRUNNER_DOCKER_IMAGES`.

References and patterns are normalized as Docker normalizes a name: `busybox` becomes
`docker.io/library/busybox` with the tag `latest`. Registry, path, and tag or digest are then
compared separately, with `*` for any characters and `?` for one. A pattern without tag and digest
allows all of them. A digest decides what runs, so a tag beside it is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_DOCKER_HUB = "docker.io"


class Parts(NamedTuple):
    """Of a normalized reference; `tag` or `digest` is empty, or both are."""

    registry: str
    path: str
    tag: str
    digest: str


def parts(text: str) -> Parts:
    """Of a reference or a pattern, normalized except for the tag."""
    registry, slash, path = text.partition("/")
    # Docker's own rule for what is a host name.
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, path = _DOCKER_HUB, text
    if registry == "index.docker.io":
        registry = _DOCKER_HUB
    path, _, digest = path.partition("@")
    path, _, tag = path.partition(":")
    if registry == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return Parts(registry.lower(), path, "" if digest else tag, digest)


def canonical(image: str) -> str:
    """`image` normalized. Unlike a bare name, it can't be another image's ID."""
    registry, path, tag, digest = parts(image)
    return f"{registry}/{path}" + (f"@{digest}" if digest else f":{tag or 'latest'}")


def is_allowed(image: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns allows the image. Without patterns every image is allowed."""
    return not patterns or any(_matches(parts(image), parts(pattern)) for pattern in patterns)


def _matches(image: Parts, pattern: Parts) -> bool:
    if not (_like(image.registry, pattern.registry) and _like(image.path, pattern.path)):
        return False
    if pattern.digest:
        return _like(image.digest, pattern.digest)
    if pattern.tag:
        return not image.digest and _like(image.tag or "latest", pattern.tag)
    return True


def _like(text: str, pattern: str) -> bool:
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(c) or re.escape(c) for c in pattern), text) is not None
