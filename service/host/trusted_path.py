"""Whether others can change what a path leads to, as sshd's StrictModes ask of a user's files.

Whoever can write to a directory can put another thing in the place of each of its entries. So each
component from `/` on must belong to root or to this process's user, and nobody else may write to
it; links are followed, and what they lead through is looked at alike. A sticky directory that all
may write to (`/tmp`) is passed: in it an entry is replaced by its owner alone. What was found to be
so stays so, since only root and this user could change it.
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

# Links that one path may lead through. Source: path_resolution(7), MAXSYMLINKS.
_MAX_LINKS: Final = 40
# Source: acl(5); with such a list the group's bits are the most that any named user may have.
_ACL: Final = "system.posix_acl_access"


def distrust(path: Path) -> str | None:
    """Why others can change what `path`, or an entry of this directory, leads to; None if only root
    and this user can. What doesn't exist is passed. Raises: OSError.
    """
    for component, found in _components(path):
        if (wrong := _fault(component, found, is_passed=True)) is not None:
            return wrong
    if not path.is_dir():
        return None
    if (wrong := _fault(str(path), path.stat(), is_passed=False)) is not None:
        return wrong
    with os.scandir(path) as entries:
        return next((wrong for entry in entries if (wrong := _entry_fault(entry))), None)


def _entry_fault(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink():
        steps = _components(Path(entry.path))
        faults = (_fault(path, found, is_passed=True) for path, found in steps)
        return next((wrong for wrong in faults if wrong is not None), None)
    with suppress(FileNotFoundError):  # a file of a running service, removed meanwhile
        return _fault(entry.path, entry.stat(follow_symlinks=False), is_passed=False)
    return None


def _components(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each directory and link that leads to `path`, from `/` on, as far as there are any."""
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
    """`is_passed`: more comes below it, so that a sticky directory is good enough."""
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {found.st_uid}, who can replace what is in it"
    if stat.S_ISLNK(found.st_mode):
        return None  # a link has no mode: it is replaced by who may write to its directory
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
    """Whether nobody but this user and root has that group, as with distributions that give each
    user one of their own and a umask of 002; and whether no access list names others.
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
