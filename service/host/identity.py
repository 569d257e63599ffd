"""Whom a job runs as, when that isn't the supervisor's own user.

A process that has one thread may put on the job's user for a moment. Where only files are
concerned, `service.files.user` does the same for a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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
