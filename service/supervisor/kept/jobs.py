"""The jobs that are over and have processes that go on.

Those of this process's own jobs are its descendants: their `Tree` stays as it was, and their deaths
are heard of. Those of a dead supervisor belong to nobody; they are looked for when they are to be
ended, by all that marks them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from functools import partial
from typing import cast

from service.host.event_log import log_event
from service.host.procfs import Process
from service.link.job_events import KillReceipt
from service.supervisor.job.ending import KillRequest
from service.supervisor.kept.ending import Done, KeptEnding
from service.supervisor.kept.files import Kept, KeptFiles, boot_id
from service.supervisor.process.attribution import Attribution
from service.supervisor.process.job_cgroup import Controllers
from service.supervisor.process.orphans import processes_of
from service.supervisor.process.tree import Tree, TreeSnapshot


class KeptJobs:
    """Those of one state directory."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        files: KeptFiles,
        nonce: str,
        mark: str,
        attribution: Attribution,
        make_tree: Callable[[str], Tree],
        controllers: Controllers | None,
    ) -> None:
        self._loop = loop
        self._files = files
        self._nonce = nonce
        self._mark = mark
        self._attribution = attribution
        self._make_tree = make_tree
        self._controllers = controllers
        self._trees: dict[str, Tree] = {}  # of this process's own jobs
        self._endings: dict[str, KeptEnding] = {}

    def resume(self) -> None:
        """Go on with what an earlier image of this process has kept."""
        for job_id, kept in self._files.living().items():
            if kept.nonce == self._nonce:
                self._trees[job_id] = tree = self._make_tree(job_id)
                tree.resume(kept.tree)
                self._note(job_id, tree)
                self._check(job_id)

    def add(self, job_id: str, tree: Tree) -> None:
        """The job is over, and what lives of `tree` goes on. Raises: OSError."""
        tree.forget_signals()
        self._files.write(job_id, Kept(nonce=self._nonce, boot=boot_id(), tree=tree.snapshot()))
        self._trees[job_id] = tree
        self._note(job_id, tree)

    @property
    def is_ending(self) -> bool:
        """Whether some are being ended."""
        return bool(self._endings)

    def reaped(self, pid: int) -> None:
        """A child that is none of a live job was reaped."""
        if (job_id := self._attribution.kept.pop(pid, None)) is not None:
            self._check(job_id)

    def members(self, job_id: str) -> list[Process] | None:
        """What lives of that job; None: it has kept nothing."""
        if (tree := self._trees.get(job_id)) is not None:
            return tree.members()
        if (kept := self._files.read(job_id)) is None or kept.receipt is not None:
            return None
        return self._strangers(job_id, kept)

    def end(self, job_id: str, request: KillRequest, done: Done) -> bool:
        """End what the job has kept, and hand the receipt to `done`; False: it has kept nothing."""
        if (ending := self._endings.get(job_id)) is None:
            if (kept := self._files.read(job_id)) is None:
                return False
            if kept.receipt is not None:
                done(cast("KillReceipt", kept.receipt), True)  # noqa: FBT003 - see Done
                return True
            ending = self._endings[job_id] = self._begin(job_id, kept)
        ending.request(request, done)
        return True

    def forget(self, job_id: str) -> None:
        """Nobody will ask for its receipt."""
        self._files.remove(job_id)

    def _begin(self, job_id: str, kept: Kept) -> KeptEnding:
        tree = self._trees.get(job_id)
        find: Callable[[], Collection[Process]] = tuple
        if tree is None:
            tree = self._make_tree(job_id)
            # No sessions: a live job may have one of the same number.
            tree.resume(TreeSnapshot(known=kept.tree.known, since=kept.tree.since))
            find = partial(self._strangers, job_id, kept)
        return KeptEnding(self._loop, tree, find, partial(self._ended, job_id, kept, tree))

    def _ended(
        self,
        job_id: str,
        kept: Kept,
        tree: Tree,
        receipt: KillReceipt,
        is_gone: bool,  # noqa: FBT001 - see Done
    ) -> None:
        ending = self._endings.pop(job_id)
        if is_gone:
            kept.receipt = dict(receipt)
            try:
                self._files.write(job_id, kept)
            except OSError as exc:
                # It is in the reply as well.
                log_event("receipt_not_kept", level="error", job=job_id, error=str(exc))
            self._close(job_id, tree)
        elif job_id not in self._trees:
            self._close(job_id, tree)
        for done in ending.waiting:
            done(receipt, is_gone)

    def _check(self, job_id: str) -> None:
        tree = self._trees.get(job_id)
        if tree is None or job_id in self._endings:
            return
        if tree.members():
            self._note(job_id, tree)
        else:
            self._close(job_id, tree)
            self._files.remove(job_id)

    def _close(self, job_id: str, tree: Tree) -> None:
        self._trees.pop(job_id, None)
        tree.close()
        if self._controllers is not None and (cgroup := self._controllers.resume(job_id, 0)):
            cgroup.remove()

    def _note(self, job_id: str, tree: Tree) -> None:
        children = [p.pid for p in tree.members() if p.parent == os.getpid()]
        self._attribution.kept.update(dict.fromkeys(children, job_id))

    def _strangers(self, job_id: str, kept: Kept) -> list[Process]:
        return processes_of({job_id: kept.known}, self._mark)
