"""UTF-8 for what goes to the kernel and to files, whatever the locale is.

Python encodes paths, arguments and variables by the locale. What callers send is UTF-8, so in
another locale a command would get other bytes than it was sent with, and a directory another name.
Python's UTF-8 mode is a property of the process from its start on; it leaves the locale itself, and
what children see of it, alone. Source: PEP 540.
"""

from __future__ import annotations

import os
import sys
from typing import Final

# Of the interpreter, for a process that is started in this mode. It wins over PYTHONUTF8.
OPTIONS: Final = ("-X", "utf8")


def ensure() -> None:
    """Return in a process that encodes in UTF-8; any other is executed again, in that mode. Called
    first: nothing that was done before survives but open descriptors without close-on-exec.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *OPTIONS, *sys.orig_argv[1:]])  # noqa: S606
