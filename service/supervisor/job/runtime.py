"""What all jobs of one supervisor share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.link.job_events import EventBody
from service.output.pump import StallTimer
from service.supervisor.process.job_cgroup import Controllers
from service.supervisor.process.spawn import Descriptors
from service.supervisor.process.tree import Tree
from service.supervisor.unclosed import UnclosedLogs

if TYPE_CHECKING:
    from service.supervisor.job.runner import Job
    from service.supervisor.kept.jobs import KeptJobs


@dataclass(slots=True, kw_only=True)
class Runtime:
    """`commands`: pid → the job that waits for this process. `tree_checks`: jobs to which each
    death in their tree matters. `mark` identifies the state directory in the environment of each
    command. `on_spawned` is called with each command's pid. `together` is entered while many jobs
    are signalled one after the other. `reap` tells of all that are dead by now.
    """

    loop: asyncio.AbstractEventLoop
    state_dir: str
    descriptors: Descriptors
    stalls: StallTimer
    unclosed: UnclosedLogs
    make_tree: Callable[[str], Tree]
    emit: Callable[[Job, EventBody], None]
    on_spawned: Callable[[int], None]
    mark: str
    kept: KeptJobs
    together: Callable[[], AbstractContextManager[None]] = nullcontext
    reap: Callable[[], None] = lambda: None
    controllers: Controllers | None = None
    commands: dict[int, Job] = field(default_factory=dict)
    tree_checks: set[Job] = field(default_factory=set)
