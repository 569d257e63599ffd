"""Starting a program as this process's own user, by posix_spawn(3).

The child has the signal mask that is asked for, whatever this process blocks, and default
dispositions of all signals; with `subprocess.Popen` it has the mask of the calling thread. Python's
own `os.posix_spawn` leaves the two signals ignored that glibc keeps for itself.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

# Source: spawn.h of glibc and of musl.
_SETSIGDEF: Final = 0x04
_SETSIGMASK: Final = 0x08
_SETSID: Final = 0x80
# Bytes of sigset_t, and more than the two structures have. Source: glibc, musl.
_SET_BYTES: Final = 128
_STRUCT_BYTES: Final = 1024


class _Library:
    """The functions of the C library, and attributes by signal mask."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(None)
        self.spawn = self.c.posix_spawn
        self.spawn.argtypes = [ctypes.c_void_p, ctypes.c_char_p, *[ctypes.c_void_p] * 4]

    @functools.cache  # noqa: B019 - there is one, for ever
    def attributes(self, blocked: frozenset[int]) -> ctypes.Array[ctypes.c_char]:
        made = ctypes.create_string_buffer(_STRUCT_BYTES)
        mask = sum(1 << (number - 1) for number in blocked).to_bytes(_SET_BYTES, "little")
        self.c.posix_spawnattr_init(made)
        # As bytes, since the functions for sets leave out the two of glibc.
        self.c.posix_spawnattr_setsigdefault(made, b"\xff" * _SET_BYTES)
        self.c.posix_spawnattr_setsigmask(made, mask)
        flags = ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)
        if wrong := self.c.posix_spawnattr_setflags(made, flags):
            raise OSError(wrong, os.strerror(wrong))
        return made


@functools.cache
def can_launch() -> bool:
    """Whether the C library can start a session (glibc 2.26)."""
    try:
        _library().attributes(frozenset())
    except (AttributeError, OSError):
        return False
    return True


def launch(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str | None,
    *,
    files: tuple[int, int, int],
    passed: tuple[int, ...],
    blocked: Collection[int],
    terminal: str | None = None,
) -> int:
    """Start `argv` in a session of its own, in `directory`, which becomes this process's, too
    (None: it is); the pid. `files` are its descriptors 0 to 2, `passed` what it has besides,
    `blocked` its signal mask. `terminal` is opened in place of them, and so becomes the controlling
    terminal of the session, which has none. Source: open(2), O_NOCTTY; POSIX_SPAWN_SETSID comes
    before the file actions.

    Raises: OSError; ValueError, for a NUL in an argument.
    """
    program = _program(argv[0], environment)
    arguments = _strings(argv)
    variables = _strings(f"{name}={value}" for name, value in environment.items())
    if directory is not None:
        os.chdir(directory)
    library, pid = _library(), ctypes.c_int()
    actions = ctypes.create_string_buffer(_STRUCT_BYTES)
    library.c.posix_spawn_file_actions_init(actions)
    try:
        if terminal is not None:
            path = terminal.encode()
            library.c.posix_spawn_file_actions_addopen(actions, 0, path, os.O_RDWR, 0)
            files = (0, 0, 0)
        for number, own in enumerate(files):
            library.c.posix_spawn_file_actions_adddup2(actions, own, number)
        for descriptor in passed:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - os takes it by position only
        wrong = library.spawn(
            ctypes.byref(pid),
            os.fsencode(program),
            actions,
            library.attributes(frozenset(blocked)),
            arguments,
            variables,
        )
    finally:
        library.c.posix_spawn_file_actions_destroy(actions)
        for descriptor in passed:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the same
    if wrong:
        raise OSError(wrong, os.strerror(wrong), program)
    return pid.value


@functools.cache
def _library() -> _Library:
    return _Library()


def _strings(texts: Iterable[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoded = [os.fsencode(text) for text in texts]
    if any(b"\0" in text for text in encoded):
        raise ValueError("embedded null byte")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


def _program(name: str, environment: Mapping[str, str]) -> str:
    """As execvp(3) finds it."""
    if "/" in name:
        return name
    if (found := shutil.which(name, path=environment.get("PATH", os.defpath))) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return found
