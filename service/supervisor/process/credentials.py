"""Starting programs as another user, who may signal them before exec(2), and starting programs that
gain no privileges by exec(2), whatever set-user-ID bit a file has.

From setuid(2) on a child belongs to its user, and the supervisor waits for its exec(2). A job of
the same user may stop it in between (SIGSTOP to all that it may signal, again and again), and the
supervisor would wait for ever. So it waits in a thread of its own, and a child that was stopped
there is killed: the command ends as if that job had killed it.

A child is on the list of the thread that spawned it, and orphans are on that of the main thread,
which is read at the end of each job (`attribution.py`): when many commands live, further ones are
spawned by another thread, too, so that the list stays short.

PR_SET_NO_NEW_PRIVS belongs to a thread, is inherited by its children, and can't be cleared. So one
thread of the supervisor sets it, and starts the programs that need it. `preexec_fn` would do the
same at 1.6 times the cost of a spawn as another user.
Source: PR_SET_NO_NEW_PRIVS(2const).
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

from service.host.procfs import look_at

_PR_SET_NO_NEW_PRIVS: Final = 38
_T = TypeVar("_T")
# Seconds between two checks of a child that is slow to exec: that takes a millisecond.
_CHECK_S: Final = 0.05


def aside(call: Callable[[], _T], *, no_new_privs: bool) -> _T:
    """The call made by another thread, for this process's main thread, which waits: what is
    spawned there isn't on the main thread's list of children.
    """
    return _thread(no_new_privs).submit(call).result()


def popen(
    argv: list[str], *, no_new_privs: bool, blocked: Collection[int] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """`subprocess.Popen`, for this process's main thread, which runs no other code meanwhile. The
    child's signal mask is `blocked`; its `preexec_fn`, if it has one, sees to that itself.
    """
    # Made in two steps: its pid is known while its other thread still waits.
    child: subprocess.Popen[bytes] = subprocess.Popen.__new__(subprocess.Popen)

    def make() -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        if options.get("preexec_fn") is None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        try:
            subprocess.Popen.__init__(child, argv, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    if options.get("user") is None and not no_new_privs:
        make()
        return child
    started = _thread(no_new_privs).submit(make)
    while not wait([started], timeout=_CHECK_S).done:
        _end_if_stopped(child)
    started.result()
    return child


def _end_if_stopped(child: subprocess.Popen[bytes]) -> None:
    pid = getattr(child, "pid", None)
    if pid and (process := look_at(pid)) is not None and process.is_stopped:
        os.kill(pid, signal.SIGKILL)  # not reaped, so the number is its own


@functools.cache
def _thread(no_new_privs: bool) -> ThreadPoolExecutor:  # noqa: FBT001 - the key of a cache
    thread = ThreadPoolExecutor(1, "no-new-privs" if no_new_privs else "aside")
    if no_new_privs:
        thread.submit(_set_no_new_privs).result()
    return thread


def _set_no_new_privs() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")
