"""Whether other users can change what a path refers to, as sshd's StrictModes checks it.

Whoever can write to a directory can replace its entries. So each component, from `/` on, must
belong to root or to this process's user, and nobody else may write to it; symbolic links are
followed, and their targets checked alike. A sticky directory that everybody may write to (`/tmp`)
passes: only an entry's owner can replace it. A result stays true, since only root and this user
could change it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

# Symbolic links that one path may pass through. Source: path_resolution(7), MAXSYMLINKS.
_MAX_LINKS: Final = 40
# Source: acl(5). With an access list the group bits are the upper bound for every named user.
_ACL: Final = "system.posix_acl_access"


def distrust(path: Path) -> str | None:
    """Why other users can change what `path`, or an entry of that directory, refers to; None if
    only root and this user can. What doesn't exist passes. Raises: OSError.
    """
    if (wrong := distrust_way(path)) is not None:
        return wrong
    if not path.is_dir():
        return None
    if (wrong := _fault(str(path), path.stat(), is_passed=False)) is not None:
        return wrong
    with os.scandir(path) as entries:
        return next((wrong for entry in entries if (wrong := _entry_fault(entry))), None)


def distrust_way(path: Path) -> str | None:
    """The same of `path` alone, whatever is in it. Raises: OSError."""
    faults = (_fault(step, found, is_passed=True) for step, found in _components(path))
    return next((wrong for wrong in faults if wrong is not None), None)


def _entry_fault(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink():
        steps = _components(Path(entry.path))
        faults = (_fault(path, found, is_passed=True) for path, found in steps)
        return next((wrong for wrong in faults if wrong is not None), None)
    with suppress(FileNotFoundError):  # a file of a running service, removed meanwhile
        return _fault(entry.path, entry.stat(follow_symlinks=False), is_passed=False)
    return None


def _components(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each directory and symbolic link on the way to `path`, from `/` on, as far as they exist."""
    at = "/"
    yield at, os.lstat(at)
    todo = [part for part in reversed(str(path).split("/")) if part]
    links = 0
    while todo:
        part = todo.pop()
        here = os.path.normpath(os.path.join(at, part))  # `at` has no links: `..` is its parent
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            return
        yield here, found
        if not stat.S_ISLNK(found.st_mode):
            at = here
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(f"{path} leads through more than {_MAX_LINKS} links")
        target = os.readlink(here)
        at = "/" if target.startswith("/") else at
        todo += [part for part in reversed(target.split("/")) if part]


def _fault(path: str, found: os.stat_result, *, is_passed: bool) -> str | None:
    """`is_passed`: the path goes on below it, so a sticky directory suffices."""
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {found.st_uid}, who can replace what is in it"
    if stat.S_ISLNK(found.st_mode):
        return None  # a link has no mode of its own: its directory decides who replaces it
    mode = stat.S_IMODE(found.st_mode)
    is_sticky = stat.S_ISDIR(found.st_mode) and mode & stat.S_ISVTX
    if is_passed and is_sticky:
        return None
    if mode & stat.S_IWOTH:
        return f"every user may write to {path} (mode {mode:04o})"
    if mode & stat.S_IWGRP and not _is_private(path, found.st_gid):
        return f"other users may write to {path} (mode {mode:04o}, group {found.st_gid})"
    return None


def _is_private(path: str, gid: int) -> bool:
    """Whether only this user and root are in that group, as where each user has a private group and
    a umask of 002, and whether no access list names other users.
    """
    with suppress(OSError):
        os.getxattr(path, _ACL)
        return False
    uids = {0, os.geteuid()}
    names = {user.pw_name for user in pwd.getpwall() if user.pw_uid in uids}
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        members = set()
    return members <= names and all(
        user.pw_uid in uids for user in pwd.getpwall() if user.pw_gid == gid
    )
