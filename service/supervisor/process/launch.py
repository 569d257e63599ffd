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
        self.init_actions = self.c.posix_spawn_file_actions_init
        self.destroy_actions = self.c.posix_spawn_file_actions_destroy

    def add_dup2(self, actions: ctypes.Array[ctypes.c_char], own: int, number: int) -> None:
        _check(self.c.posix_spawn_file_actions_adddup2(actions, own, number))

    def add_open(
        self, actions: ctypes.Array[ctypes.c_char], number: int, path: bytes, flags: int, mode: int
    ) -> None:
        _check(self.c.posix_spawn_file_actions_addopen(actions, number, path, flags, mode))

    @functools.cache  # noqa: B019 - there is one, for ever
    def attributes(self, blocked: frozenset[int]) -> ctypes.Array[ctypes.c_char]:
        made = ctypes.create_string_buffer(_STRUCT_BYTES)
        mask = sum(1 << (number - 1) for number in blocked).to_bytes(_SET_BYTES, "little")
        self.c.posix_spawnattr_init(made)
        # As bytes, since the functions for sets leave out the two of glibc.
        self.c.posix_spawnattr_setsigdefault(made, b"\xff" * _SET_BYTES)
        self.c.posix_spawnattr_setsigmask(made, mask)
        flags = ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)
        _check(self.c.posix_spawnattr_setflags(made, flags))
        return made


@functools.cache
def can_launch() -> bool:
    """Whether the C library can start a session (glibc 2.26)."""
    try:
        _library().attributes(frozenset())
    except (AttributeError, OSError):
        return False
    return True


class Launch:
    """A program that is ready to be started, in a session of its own. Made before the limits of the
    child are in force: glibc refuses a descriptor that is above the limit of the calling process.
    """

    __slots__ = ("_actions", "_arguments", "_attributes", "_passed", "_program", "_variables")

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None,
        *,
        files: tuple[int, int, int],
        passed: tuple[int, ...],
        blocked: Collection[int],
        terminal: str | None = None,
    ) -> None:
        """`directory` becomes this process's, too (None: it is). `files` are the child's
        descriptors 0 to 2, `passed` what it has besides, `blocked` its signal mask. `terminal` is
        opened in place of them, and so becomes the controlling terminal of the session, which has
        none. Source: open(2), O_NOCTTY; POSIX_SPAWN_SETSID comes before the file actions.

        Raises: OSError; ValueError, for a NUL in an argument.
        """
        library = _library()
        self._actions = ctypes.create_string_buffer(_STRUCT_BYTES)
        library.init_actions(self._actions)
        self._program = os.fsencode(_program(argv[0], environment))
        self._arguments = _strings(argv)
        self._variables = _strings(f"{name}={value}" for name, value in environment.items())
        if directory is not None:
            os.chdir(directory)
        self._passed = passed
        self._attributes = library.attributes(frozenset(blocked))
        if terminal is not None:
            library.add_open(self._actions, 0, terminal.encode(), os.O_RDWR, 0)
            files = (0, 0, 0)
        for number, own in enumerate(files):
            library.add_dup2(self._actions, own, number)

    def __del__(self) -> None:
        _library().destroy_actions(self._actions)

    def start(self) -> int:
        """The pid. Raises: OSError."""
        library, pid = _library(), ctypes.c_int()
        try:
            for descriptor in self._passed:
                os.set_inheritable(descriptor, True)  # noqa: FBT003 - os takes it by position only
            wrong = library.spawn(
                ctypes.byref(pid),
                self._program,
                self._actions,
                self._attributes,
                self._arguments,
                self._variables,
            )
        finally:
            for descriptor in self._passed:
                os.set_inheritable(descriptor, False)  # noqa: FBT003 - the same
        if wrong:
            raise OSError(wrong, os.strerror(wrong), os.fsdecode(self._program))
        return pid.value


@functools.cache
def _library() -> _Library:
    return _Library()


def _check(wrong: int) -> None:
    if wrong:
        raise OSError(wrong, os.strerror(wrong))


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
