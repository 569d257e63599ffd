"""Whom a job runs as, when that isn't the supervisor's own user.

The supervisor has one thread, so it may put on the job's user for a moment: what it does then in
the job's directories is refused and followed as for that user, wherever their links lead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple


class Identity(NamedTuple):
    """A user and a group, by number; no supplementary groups."""

    uid: int
    gid: int

    @contextmanager
    def assumed(self) -> Iterator[None]:
        """Act as this user, for code that neither waits nor spawns. Raises: PermissionError, when
        this process isn't root.
        """
        uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
        os.setgroups([])
        try:
            os.setegid(self.gid)
            os.seteuid(self.uid)
            yield
        finally:
            os.seteuid(uid)
            os.setegid(gid)
            os.setgroups(groups)


def identity_of(told: Sequence[int] | None) -> Identity | None:
    """What a message says; None: the supervisor's own."""
    return None if told is None else Identity(*told)


def open_directory(path: str, identity: Identity | None, *, create: bool) -> int:
    """A descriptor of `path`, which the user may enter; made by them when missing and `create`.

    The caller closes it. Raises: OSError.
    """
    if identity is None:
        return _opened(path, create=create)
    with identity.assumed():
        descriptor = _opened(path, create=create)
        try:
            os.fchdir(descriptor)  # the only full answer to whether they may
        except OSError:
            os.close(descriptor)
            raise
        finally:
            os.chdir("/")
    return descriptor


def _opened(path: str, *, create: bool) -> int:
    if create and not os.path.isdir(path):  # it is there, as a rule
        os.makedirs(path, mode=0o755, exist_ok=True)
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
