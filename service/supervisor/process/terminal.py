"""A pseudo terminal: the supervisor has its master, the commands of a job its slave.

The slave is the controlling terminal of each command's session. It is opened anew for each, and
the supervisor keeps none open, so that the master tells when nobody has it any more. Its modes and
its size stay as they were as long as the master is open; when that closes the kernel hangs up:
SIGHUP to the session that it controls, and the end of input for all. Source: pty(7), tty_ioctl(4).
"""

from __future__ import annotations

import fcntl
import os
import termios
from typing import Final

from service.host.identity import Identity

# The number of a master's slave; and its slave, opened without a path and whoever it belongs to.
# Source: asm-generic/ioctls.h, TIOCGPTPEER(2const).
_TIOCGPTN: Final = 0x80045430
_TIOCGPTPEER: Final = 0x5441
# Backspace takes a character away, not a byte. Source: asm-generic/termbits.h.
_IUTF8: Final = 0o40000
_IFLAG: Final = 0
_LFLAG: Final = 3
_CC: Final = 6
# Nobody else writes to it, as the group of terminals may on a login.
_MODE: Final = 0o600
# The major number of slaves. Source: Documentation/admin-guide/devices.txt.
_SLAVES: Final = 136
# A control character that is off. Source: _POSIX_VDISABLE, bits/posix_opt.h.
_OFF: Final = b"\0"


class Terminal:
    """Owns `master`, which doesn't block; `path` is that of the slave, `device` its number."""

    __slots__ = ("device", "master", "path")

    def __init__(self, master: int) -> None:
        self.master = master
        number = int.from_bytes(fcntl.ioctl(master, _TIOCGPTN, bytes(4)), "little")
        self.path = f"/dev/pts/{number}"
        self.device = os.makedev(_SLAVES, number)

    @classmethod
    def open(cls, rows: int, cols: int, user: Identity | None) -> Terminal:
        """A new one of this size, which belongs to this user. Raises: OSError."""
        master, slave = os.openpty()
        try:
            os.set_blocking(master, False)
            termios.tcsetwinsize(master, (rows, cols))
            modes = termios.tcgetattr(slave)
            modes[_IFLAG] |= _IUTF8
            termios.tcsetattr(slave, termios.TCSANOW, modes)
            os.fchmod(slave, _MODE)
            if user is not None:
                os.fchown(slave, user.uid, -1)
            return cls(master)
        except termios.error as exc:
            os.close(master)
            raise OSError(*exc.args) from exc
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)

    def ends(self) -> tuple[int, int]:
        """Another descriptor of the master, and one of the slave, for the caller to close: in this
        order, as those of a pipe. Raises: OSError.
        """
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        slave = fcntl.ioctl(self.master, _TIOCGPTPEER, flags)
        try:
            return fcntl.fcntl(self.master, fcntl.F_DUPFD_CLOEXEC, 0), slave
        except BaseException:
            os.close(slave)
            raise

    def resize(self, rows: int, cols: int) -> None:
        """The foreground process group gets SIGWINCH, if that changes anything."""
        termios.tcsetwinsize(self.master, (rows, cols))

    @property
    def foreground(self) -> int:
        """The process group in the foreground; 0: there is none."""
        try:
            return max(0, os.tcgetpgrp(self.master))
        except OSError:  # no session has it
            return 0

    @property
    def has_echo(self) -> bool:
        """Whether it shows what is typed."""
        return bool(termios.tcgetattr(self.master)[_LFLAG] & termios.ECHO)

    @property
    def owner(self) -> int:
        """Whose the slave is; -1: nobody knows."""
        try:
            return os.stat(self.path).st_uid
        except OSError:
            return -1

    def end_of_input(self, last: bytes) -> bytes:
        """What has a program read the end of input, after somebody has typed `last`: the character
        VEOF. In the midst of a line the first one ends the line. Where programs read single
        characters it is one of them.
        """
        modes = termios.tcgetattr(self.master)
        character: bytes = modes[_CC][termios.VEOF]
        if character == _OFF:
            return b""
        is_within = bool(last) and last[-1:] not in (b"\n", b"\r", character)
        return character * (2 if is_within and modes[_LFLAG] & termios.ICANON else 1)

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)


def take_control() -> None:
    """Make the terminal on descriptor 0 that of this process, which leads a session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
