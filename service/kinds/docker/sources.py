"""Directories of the host that a container may have: only those that no job can swap for another.

Docker's daemon is root, takes a path, and resolves it again after we have looked at it. So a path
is given to it only when nobody who could profit can change what it leads to: each directory above
the last step is one that no job can write to. A job that can't write there can neither rename the
next step nor put a link in its place; the last step itself may be the jobs' to write to.

Jobs write as `JOBRUNNER_RUN_AS` on the host, and as the container's user in what a container
has of the host, which is all below the allowed directories. Where jobs run as the service's own
user without a sandbox there is no boundary to keep.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from service.kinds.docker.settings import DockerSettings
from service.kinds.docker.volumes import NotAllowed, allowed
from service.settings import Settings


def source(path: str, settings: Settings) -> str:
    """`path` without symbolic links, which may be mounted. Raises: NotAllowed."""
    real = allowed(path, settings.of(DockerSettings).docker_volumes)
    if not real.isprintable():  # docker's client reads a mount as CSV, and may change line breaks
        raise NotAllowed(f"expected a path without control characters, got {path!r}")
    state_dir = os.path.realpath(settings.state_dir)
    own = [state_dir] if settings.socket is None else [state_dir, os.path.realpath(settings.socket)]
    if any(_is_at_or_below(real, each) or _is_at_or_below(each, real) for each in own):
        raise NotAllowed(f"expected a path apart from the service's own files, got {path!r}")
    if (directory := _writable_above(real, settings)) is not None:
        expected = "expected a path that no job can exchange"
        raise NotAllowed(f"{expected}, but jobs can write to {directory}, got {path!r}")
    return real


def faults(settings: Settings) -> Iterator[str]:
    """Each allowed directory that can't be given to a container as it is, for the operator."""
    for path in settings.of(DockerSettings).docker_volumes:
        if (directory := _writable_above(os.path.realpath(path), settings)) is not None:
            yield (
                f"Jobs can write to {directory}, and so exchange {path}, which is in"
                " JOBRUNNER_DOCKER_VOLUMES: the directories above it must be those of another user,"
                " without the right to write for group and others."
            )


def container_user(settings: Settings) -> str:
    """Whom commands in containers run as, as `--user` takes it."""
    if settings.of(DockerSettings).docker_user:
        return settings.of(DockerSettings).docker_user
    user = settings.run_as
    return f"{os.getuid()}:{os.getgid()}" if user is None else f"{user.uid}:{user.gid}"


def _writable_above(real: str, settings: Settings) -> str | None:
    """The first directory above the last step of `real` that a job can write to, if any."""
    if settings.run_as is None and settings.sandbox == "off":
        return None
    users = {settings.run_as.uid} if settings.run_as is not None else set()
    name = container_user(settings).partition(":")[0]
    inside = int(name) if name.isdecimal() else 0  # a name is the image's to say
    directory = "/"
    for step in real.split("/")[1:]:
        entry = os.path.join(directory, step)
        try:
            above = os.lstat(directory)
            writers = users
            if any(
                _is_at_or_below(directory, os.path.realpath(p))
                for p in settings.of(DockerSettings).docker_volumes
            ):
                if not inside:
                    return directory
                writers = users | {inside}
            if not stat.S_ISDIR(above.st_mode) or _can_write(above, entry, writers):
                return directory
        except FileNotFoundError:
            return None  # and no job can make it
        except OSError:
            return directory  # what can't be looked at isn't known to be safe
        directory = entry
    return directory if os.path.islink(directory) else None


def _can_write(directory: os.stat_result, entry: str, users: set[int]) -> bool:
    """Whether one of these users may exchange `entry`. An access control list that lets somebody
    write shows in the group's bits. Source: acl(5).
    """
    if directory.st_uid in users:
        return True
    if not directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    if not directory.st_mode & stat.S_ISVTX:
        return True
    # What isn't theirs stays where it is in a sticky directory, as /tmp is.
    return not os.path.lexists(entry) or os.lstat(entry).st_uid in users


def _is_at_or_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")
