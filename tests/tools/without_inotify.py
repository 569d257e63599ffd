"""`without_inotify.py LIMIT COUNT PROGRAM…`: become a Python program, as the user that one is, in a
user namespace in which the limit `max_inotify_instances` or `max_inotify_watches` is COUNT.

Source: user_namespaces(7), and /proc/sys/user in namespaces(7): root of a namespace sets its limits.
"""

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000

libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
if libc.unshare(_CLONE_NEWUSER):
    sys.exit(os.strerror(ctypes.get_errno()))
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
Path(f"/proc/sys/user/{sys.argv[1]}").write_text(sys.argv[2])
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])  # noqa: S606 - it becomes the program
