"""File access as another user, in one thread.

The kernel keeps the user whose rights on files count (fsuid) for each thread, and so the groups;
glibc's `seteuid` would change them for all threads of the process. While another user's rights
count, root's privileges on files are gone as well: the kernel takes them away with fsuid 0.
Source: setfsuid(2), capabilities(7), nptl(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

# The number of setgroups by machine: the call itself, which concerns this thread only.
# Source: asm/unistd.h.
_SETGROUPS: Final = {
    "x86_64": 116,
    "aarch64": 159,
    "riscv64": 159,
    "ppc64le": 81,
    "s390x": 206,
    "armv7l": 206,
}
_UNCHANGED: Final = 0xFFFFFFFF  # no valid user: the call then only tells whose rights count

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def acting_as(uid: int, gid: int, groups: Sequence[int] = ()) -> Iterator[None]:
    """Within the block this thread opens, makes and removes files as that user, who has
    these `groups` besides. The block neither awaits nor spawns.

    Raises: PermissionError, when this process isn't root.
    """
    own_uid, own_gid, own_groups = os.geteuid(), os.getegid(), os.getgroups()
    _set_groups(groups)
    try:
        _libc.setfsgid(ctypes.c_uint(gid))
        _libc.setfsuid(ctypes.c_uint(uid))
        if _now(_libc.setfsuid) != uid or _now(_libc.setfsgid) != gid:
            raise PermissionError(errno.EPERM, "only root can act as another user")
        yield
    finally:
        _libc.setfsuid(ctypes.c_uint(own_uid))
        _libc.setfsgid(ctypes.c_uint(own_gid))
        _set_groups(own_groups)


def _now(call: Callable[[ctypes.c_uint], int]) -> int:
    return int(call(ctypes.c_uint(_UNCHANGED))) & 0xFFFFFFFF


def _set_groups(groups: Sequence[int]) -> None:
    number = _SETGROUPS.get(os.uname().machine)
    if number is None:
        raise PermissionError(errno.EPERM, f"unknown machine {os.uname().machine}")
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(ctypes.c_long(number), ctypes.c_long(len(groups)), array):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
