"""The user that a job runs as, when that isn't the supervisor's own.

`assumed` changes the effective user of the whole process: glibc's seteuid applies to every thread.
The supervisor's other threads, two at most (`service.supervisor.process.credentials`), run only
while its main thread waits for them, so none of them sees the change. For access to files alone
`service.files.user` changes one thread. Source: nptl(7).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Identity(NamedTuple):
    """A uid, a gid, and supplementary groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @contextmanager
    def assumed(self) -> Iterator[None]:
        """Act as this user within the block, which neither waits nor spawns. Called by the main
        thread. Raises: PermissionError, when this process isn't root.
        """
        uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
        os.setgroups(self.groups)
        try:
            os.setegid(self.gid)
            os.seteuid(self.uid)
            yield
        finally:
            os.seteuid(uid)
            os.setegid(gid)
            os.setgroups(groups)
