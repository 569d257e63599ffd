"""The end of the processes that a job left running: a signal, the grace, KILL, the receipt.

Whoever asks again meanwhile sends another signal, and may shorten the grace, as with a live job.
They need not be children of this process, so their deaths are seen through pidfds: of one at a
time, as all have to die.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Collection
from typing import Final

from service.host.procfs import Process
from service.link.job_events import KillReceipt
from service.supervisor.job import effects as fx
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.escalation import Escalation
from service.supervisor.job.timers import Timers
from service.supervisor.process.tree import Tree

# Seconds until a member is looked for again whose end can't be watched: no descriptor is free.
_UNWATCHED_S: Final = 0.2

# Takes the receipt, and whether all are gone; otherwise some are stuck in the kernel.
Done = Callable[[KillReceipt, bool], None]


class KeptEnding:
    """One of one job. `find` returns members that `tree` can't know of."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tree: Tree,
        find: Callable[[], Collection[Process]],
        on_ended: Done,
    ) -> None:
        """`on_ended` is called once, when all are gone, or stuck in the kernel."""
        self._loop = loop
        self._tree = tree
        self._find = find
        self._on_ended = on_ended
        self._escalation = Escalation()
        self._timers = Timers(loop, self._timer_fired)
        self._watched = -1
        self._retry: asyncio.TimerHandle | None = None
        self._is_over = False
        self.waiting: list[Done] = []

    def request(self, request: KillRequest, done: Done) -> None:
        """End them; `done` is called when that is over."""
        self.waiting.append(done)
        if self._escalation.has_begun:
            self._apply(self._escalation.go_on(request, self._loop.time()))
            return
        self._tree.add(self._find())
        self._apply(self._escalation.begin(request, self._loop.time()))
        self._check()

    def _check(self) -> None:
        """See who is left."""
        if self._is_over:
            return
        members = self._tree.members() or self._found_anew()
        if not members:
            self._end(is_gone=True)
            return
        if self._escalation.kill_sent:
            self._tree.signal(signal.SIGKILL)
        if self._watched < 0:
            self._watch(members)

    def _found_anew(self) -> list[Process]:
        self._tree.add(self._find())
        return self._tree.members()

    def _watch(self, members: list[Process]) -> None:
        wait_s = 0.0
        for process in members:
            try:
                self._watched = os.pidfd_open(process.pid)
            except ProcessLookupError:
                continue
            except OSError:
                wait_s = _UNWATCHED_S
                break
            self._loop.add_reader(self._watched, self._died)
            return
        self._retry = self._loop.call_later(wait_s, self._died)

    def _died(self) -> None:
        self._unwatch()
        self._check()

    def _unwatch(self) -> None:
        if self._watched >= 0:
            self._loop.remove_reader(self._watched)
            os.close(self._watched)
            self._watched = -1
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _apply(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.SignalTree():
                    self._tree.signal(effect.signal)
                case fx.Arm():
                    self._timers.arm(effect.timer, effect.seconds)
                case fx.Disarm():
                    self._timers.disarm(effect.timer)

    def _timer_fired(self, timer: fx.Timer) -> None:
        if timer is fx.Timer.STUCK:
            self._end(is_gone=False)
        else:
            self._apply(self._escalation.escalate())
            self._check()

    def _end(self, *, is_gone: bool) -> None:
        self._is_over = True
        self._unwatch()
        self._timers.clear()
        request = self._escalation.kill
        assert request is not None  # noqa: S101 - it has begun
        receipt = request.receipt(
            self._escalation.later,
            found=self._tree.found,
            verified_gone=is_gone and not self._tree.is_unsure,
        )
        self._on_ended(receipt, is_gone)
