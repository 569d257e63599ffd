"""The two ends of a copy: a path here, `JOB:PATH`, or `-`; and which name a copy gets at its end.

As `docker cp` has it: what is copied onto a directory goes into it under its own name, and a source
that ends with `/.` is what is in the directory, not the directory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

STANDARD: Final = "-"


@dataclass(frozen=True, slots=True)
class Place:
    """One end. `job` None: a path of this host; the path `-` is standard input or output."""

    job: str | None
    path: str

    @property
    def is_standard(self) -> bool:
        return self.job is None and self.path == STANDARD

    @property
    def is_contents(self) -> bool:
        """Whether the contents of a directory are meant."""
        return self.path in (".", "") or self.path.endswith("/.")

    @property
    def is_into(self) -> bool:
        """Whether the path says that it is a directory."""
        return self.path.endswith("/") or self.is_contents

    @property
    def inner(self) -> str:
        """A path in a job as the service takes it."""
        parts = [part for part in self.path.split("/") if part not in ("", ".")]
        return "/".join(parts)

    @property
    def name(self) -> str:
        """What it is called."""
        path = self.inner if self.job is not None else os.path.abspath(self.path)
        return os.path.basename(path)

    def below(self, name: str) -> Place:
        """A place in this directory."""
        return Place(self.job, os.path.join(self.path, name))


def place_of(word: str) -> Place:
    """A word with a colon names a job, unless a slash comes before that: `./a:b` is a path here.

    >>> place_of("train:out/a.csv")
    Place(job='train', path='out/a.csv')
    >>> place_of("./a:b")
    Place(job=None, path='./a:b')
    """
    job, colon, path = word.partition(":")
    if not colon or not job or "/" in job:
        return Place(None, word)
    return Place(job, path)
