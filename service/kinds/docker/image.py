"""References to images as Docker writes them: `[Registry/]Repository[:Tag][@Digest]`.

A reference becomes an argument of docker's client, so none may look like an option.
Source: the grammar of github.com/distribution/reference.
"""

from __future__ import annotations

import re
from typing import Final

_PART: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
REGISTRY: Final = rf"(?:{_PART}(?:\.{_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
REPOSITORY: Final = (
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"

# Docker's own limit is 255 characters for registry and repository.
MAX_CHARS: Final = 600
IMAGE: Final = rf"(?:{REGISTRY}/)?{REPOSITORY}(?::{TAG})?(?:@{_DIGEST})?"

_registry: Final = re.compile(REGISTRY)
_repository: Final = re.compile(REPOSITORY)
_tag: Final = re.compile(TAG)
_image: Final = re.compile(IMAGE)


def is_registry(text: str) -> bool:
    """Whether `text` is a host name or address, with a port or without."""
    return len(text) <= MAX_CHARS and _registry.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether `text` is a path of lower-case names."""
    return len(text) <= MAX_CHARS and _repository.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` is a tag, without its colon."""
    return _tag.fullmatch(text) is not None


def is_image(text: str) -> bool:
    """Whether `text` is a whole reference."""
    return len(text) <= MAX_CHARS and _image.fullmatch(text) is not None
