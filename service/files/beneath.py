"""Opens and creates files beneath a directory, whatever symlinks the path contains.

The kernel resolves the path in one step (`openat2` with RESOLVE_BENEATH): no `..`, symlink or
concurrent rename leads above the directory, and there is no gap between check and use. A symlink
that stays beneath the directory is followed, unless it is absolute. Where the kernel or a seccomp
filter refuses `openat2`, the path is walked component by component, and no symlink is followed.

`open_by_links` is for a path that may lead anywhere.

These functions have no policy: the caller decides whose rights apply (`user.acting_as`).
Source: openat2(2).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
from typing import Final

# The number of the call is the same on every architecture. Source: asm-generic/unistd.h.
_OPENAT2: Final = 437
_NO_XDEV: Final = 0x01
_NO_MAGICLINKS: Final = 0x02
_BENEATH: Final = 0x08
_AT_FDCWD: Final = -100
# Attempts while the kernel reports a concurrent rename (EAGAIN): a path that changes this often is
# under attack.
_TRIES: Final = 128
_PASSING: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_beneath(
    directory: int, path: str | bytes, flags: int, mode: int = 0, *, one_mount: bool = False
) -> int:
    """Open `path`, relative to the open `directory` and resolved beneath it, close-on-exec. With
    `one_mount` no mount point is crossed.

    Raises: OSError; EXDEV when the path leads out, ELOOP or ENOTDIR for a symlink where none is
        followed.
    """
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a path has no NUL bytes")
    flags |= os.O_CLOEXEC
    if not _has_openat2():
        return _walk(directory, name, flags, mode, one_mount=one_mount)
    resolve = _BENEATH | _NO_MAGICLINKS | (_NO_XDEV if one_mount else 0)
    return _openat2(directory, name, _OpenHow(flags, mode, resolve))


def open_by_links(path: str, flags: int) -> int:
    """Open the absolute `path`, whose symlinks may lead anywhere, close-on-exec. The magic links of
    /proc are refused: they bypass the directories above their target, and a process with
    CAP_SYS_PTRACE may follow them whomever it acts for.

    Raises: OSError.
    """
    if _has_openat2():
        how = _OpenHow(flags | os.O_CLOEXEC, 0, _NO_MAGICLINKS)
        return _openat2(_AT_FDCWD, os.fsencode(path), how)
    root = os.open("/", _PASSING)
    try:
        # By name: a magic link in /proc counts as the text that can be read of it.
        name = os.fsencode(os.path.realpath(path)).lstrip(b"/")
        return _walk(root, name, flags | os.O_CLOEXEC, 0, one_mount=False)
    finally:
        os.close(root)


def make_directories_beneath(
    directory: int, path: str | bytes, mode: int = 0o755, *, one_mount: bool = False
) -> int:
    """Open the directory `path` (O_PATH), after creating it and its parents where missing.

    Raises: as `open_beneath` does.
    """
    try:
        return open_beneath(directory, path, _PASSING, one_mount=one_mount)
    except FileNotFoundError:
        parts = _parts(os.fsencode(path))
    current = os.open(".", _PASSING, dir_fd=directory)
    try:
        for number, name in enumerate(parts, 1):
            way = parts[:number]
            following = _enter_or_make(directory, way, current, name, mode, one_mount=one_mount)
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current


def _enter_or_make(
    directory: int, way: list[bytes], parent: int, name: bytes, mode: int, *, one_mount: bool
) -> int:
    # From the top each time: a symlink on the way may lead anywhere beneath it, and nowhere else.
    try:
        return open_beneath(directory, b"/".join(way), _PASSING, one_mount=one_mount)
    except FileNotFoundError:
        try:
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            # A dangling symlink, or created just now by another process: the next line tells which.
            return os.open(name, _PASSING | os.O_NOFOLLOW, dir_fd=parent)
    return os.open(name, _PASSING | os.O_NOFOLLOW, dir_fd=parent)


def _openat2(directory: int, name: bytes, how: _OpenHow) -> int:
    for _ in range(_TRIES):
        descriptor = _syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(name),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        error = ctypes.get_errno()
        if error not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(error, os.strerror(error), os.fsdecode(name))


@functools.cache
def _has_openat2() -> bool:
    try:
        os.close(_openat2(_AT_FDCWD, b"/", _OpenHow(_PASSING, 0, 0)))
    except OSError as exc:
        if exc.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return False
    return True


def _walk(directory: int, path: bytes, flags: int, mode: int, *, one_mount: bool) -> int:
    parts = _parts(path) or [b"."]
    device = os.fstat(directory).st_dev
    current = os.open(".", _PASSING, dir_fd=directory)
    try:
        for number, name in enumerate(parts, 1):
            is_last = number == len(parts)
            wanted = (flags if is_last else _PASSING) | os.O_NOFOLLOW
            following = os.open(name, wanted, mode, dir_fd=current)
            os.close(current)
            current = following
            found = os.fstat(current)
            if stat.S_ISLNK(found.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
            if one_mount and found.st_dev != device:
                raise _leads_out(path)
    except BaseException:
        os.close(current)
        raise
    return current


def _parts(path: bytes) -> list[bytes]:
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if path.startswith(b"/") or b".." in parts:
        raise _leads_out(path)
    return parts


def _leads_out(path: bytes) -> OSError:
    return OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
