"""The state machine of a job in the supervisor, as data: phases and inputs.

The table
1. `ACCEPTS` lists, for each phase, the inputs that may come and the phases they may lead to; an
   empty tuple means that the phase stays. An input with phases listed may also change nothing.
2. `IGNORED` lists inputs that may come too late or twice, with the reason. They change nothing.
3. Any other input raises `IllegalInput` and changes nothing: it is a bug in the caller.

The phases of a job
    PENDING   no command was dispatched yet
    STARTING  a command is being spawned; nothing else happens meanwhile
    RUNNING   the command was spawned; its wait status isn't in
    PROBING   the wait status doesn't say how the command ended; its status probe finds out
    DRAINING  the status is in; the output hasn't ended
    IDLE      the command has ended; another one is expected
    ENDING    no more commands; what is left of the process tree is being killed
    CLOSING   the tree is gone; the last bytes are read from the pipes, cleanups finish
    FINISHED  the log is closed

Rules
1. A command is finished when its wait status is in and its output has ended, in either order; the
   wait for the end of output is bounded by the drain grace.
2. The job is killed when a signal of ours was sent before the wait status of the command that ends
   it was read, or when none was running and more were to run. Otherwise it exited.
3. A kill is TERM (or the signal requested) to the whole tree, grace, KILL. A later request sends
   its own signal, and can only shorten the grace; a request that comes twice counts once.
4. A job that ended by itself leaves nothing behind either: TERM, ORPHAN_GRACE_S, KILL to the rest.
5. The job is finished only when the tree was seen empty, the pipes have ended and every cleanup is
   over. All waits are bounded, and what a bound cut off is reported: `verified_gone` and `complete`
   are then false. Only for free space on the disk a job waits as long as it takes, unless somebody
   wants it ended.
6. A job that waits for its first command longer than it may, or that has been silent for too long,
   is killed like one whose deadline has passed. Nothing counts as silence while no command runs, or
   while the disk takes no bytes.
7. A command with a status probe has its status when the probe has reported, not before. KILL ends
   the probe too, and begins the cleanup at once: what it cleans up is no child of ours.
8. A signal that is no kill goes once to every process, and changes no phase, no outcome and no
   timer: what dies of it ended by itself.
9. A job whose output can't be written any more is killed like one whose deadline has passed, and
   the command that runs has an error that says why.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from service.supervisor.job.effects import Effect, Timer


class Phase(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    PROBING = "probing"
    DRAINING = "draining"
    IDLE = "idle"
    ENDING = "ending"
    CLOSING = "closing"
    FINISHED = "finished"


class Input(StrEnum):
    """What can happen to a job, besides a timer that fires."""

    WAIT_FOR_SLOT = "wait_for_slot"
    START = "start"
    SPAWNED = "spawned"
    REFUSED = "refused"
    WAIT_STATUS = "wait_status"
    PROBE_SPAWNED = "probe_spawned"
    PROBED = "probed"
    STREAM_ENDED = "stream_ended"
    LOG_FAILED = "log_failed"
    CLEANED_UP = "cleaned_up"
    KILL = "request_kill"
    SIGNAL = "request_signal"
    TREE_CHECKED = "tree_checked"


AnyInput = Input | Timer


class IllegalInput(Exception):
    """An input that the table doesn't list for the present phase."""

    def __init__(self, phase: Phase, given: AnyInput) -> None:
        super().__init__(f"{given} in phase {phase}")
        self.phase = phase
        self.given = given


_STAYS: Final = ()
_OVER: Final = (Phase.IDLE, Phase.ENDING)
_GONE: Final = (Phase.CLOSING, Phase.FINISHED)
# In every phase between the first spawn and the end of the log: an earlier command may have left a
# process behind that holds a pipe, and its cleanup runs beside the next command.
_LATE: Final[Mapping[AnyInput, tuple[Phase, ...]]] = {
    Input.STREAM_ENDED: _STAYS,
    Input.LOG_FAILED: _STAYS,
    Input.CLEANED_UP: _STAYS,
    Input.KILL: _STAYS,
    Timer.TEARDOWN: _STAYS,
}
# While a command is up: it may be killed, and is then checked for stuck processes.
_UP: Final[Mapping[AnyInput, tuple[Phase, ...]]] = {
    **_LATE,
    Input.SIGNAL: _STAYS,
    Input.TREE_CHECKED: _STAYS,
    Timer.DEADLINE: _STAYS,
    Timer.IDLE: _STAYS,
    Timer.GRACE: _STAYS,
    Timer.STUCK: _GONE,
}

ACCEPTS: Final[Mapping[Phase, Mapping[AnyInput, tuple[Phase, ...]]]] = {
    Phase.PENDING: {
        Input.WAIT_FOR_SLOT: _STAYS,
        Input.START: (Phase.STARTING,),
        Input.KILL: (Phase.ENDING,),
        Timer.QUEUE: (Phase.ENDING,),
    },
    Phase.STARTING: {
        Input.STREAM_ENDED: _STAYS,
        Input.SPAWNED: (Phase.RUNNING,),
        Input.REFUSED: _OVER,
    },
    Phase.RUNNING: {
        **_UP,
        Input.WAIT_STATUS: (Phase.PROBING, Phase.DRAINING, *_OVER),
    },
    Phase.PROBING: {
        **_UP,
        Input.PROBE_SPAWNED: _STAYS,
        Input.PROBED: (Phase.DRAINING, *_OVER),
    },
    Phase.DRAINING: {
        **_UP,
        Input.STREAM_ENDED: _OVER,
        Timer.DRAIN: _OVER,
    },
    Phase.IDLE: {
        **_LATE,
        Input.START: (Phase.STARTING,),
        Input.LOG_FAILED: (Phase.ENDING,),
        Input.KILL: (Phase.ENDING,),
        Input.SIGNAL: _STAYS,
        Timer.DEADLINE: (Phase.ENDING,),
        Timer.IDLE: (Phase.ENDING,),
    },
    Phase.ENDING: {
        **_LATE,
        Input.SIGNAL: _STAYS,
        Input.TREE_CHECKED: _GONE,
        Timer.GRACE: _STAYS,
        Timer.STUCK: _GONE,
    },
    Phase.CLOSING: {
        **_LATE,
        Input.STREAM_ENDED: (Phase.FINISHED,),
        Input.CLEANED_UP: (Phase.FINISHED,),
        Timer.CLOSING: (Phase.FINISHED,),
        Timer.TEARDOWN: (Phase.FINISHED,),
    },
    Phase.FINISHED: {},
}

_REPEAT: Final = "a repeat: the command was dispatched before"
_CROSSED: Final = "the worker sent it before it heard of the kill or of the end"
_NONE_YET: Final = "no command was started, so there is no process that it could reach"
_NONE_LEFT: Final = "no process is left that it could reach"
_STUCK: Final = "of a process that was stuck in the kernel when the wait for it was given up"
IGNORED: Final[Mapping[tuple[Phase, AnyInput], str]] = {
    (Phase.RUNNING, Input.START): _REPEAT,
    (Phase.PROBING, Input.START): _REPEAT,
    (Phase.DRAINING, Input.START): _REPEAT,
    (Phase.ENDING, Input.START): _CROSSED,
    (Phase.CLOSING, Input.START): _CROSSED,
    (Phase.FINISHED, Input.START): _CROSSED,
    (Phase.FINISHED, Input.KILL): _CROSSED,
    (Phase.PENDING, Input.SIGNAL): _NONE_YET,
    (Phase.CLOSING, Input.SIGNAL): _NONE_LEFT,
    (Phase.FINISHED, Input.SIGNAL): _NONE_LEFT,
    (Phase.CLOSING, Input.WAIT_STATUS): _STUCK,
    (Phase.CLOSING, Input.PROBED): _STUCK,
    (Phase.FINISHED, Input.WAIT_STATUS): _STUCK,
    (Phase.FINISHED, Input.LOG_FAILED): "the pump reported it just before it was closed",
}

NEXT: Final[Mapping[Phase, frozenset[Phase]]] = {
    phase: frozenset(following for phases in inputs.values() for following in phases)
    for phase, inputs in ACCEPTS.items()
}


class HasPhase(Protocol):
    phase: Phase


_M = TypeVar("_M", bound=HasPhase)
_P = ParamSpec("_P")
_Method = Callable[Concatenate[_M, _P], list[Effect]]


def takes(phase: Phase, given: AnyInput) -> bool:
    """Whether the phase accepts the input; False: it ignores it. Raises: IllegalInput."""
    if given in ACCEPTS[phase]:
        return True
    if (phase, given) in IGNORED:
        return False
    raise IllegalInput(phase, given)


def check_next(phase: Phase, following: Phase) -> None:
    """Raises: ValueError, when the table doesn't list that `following` may come after `phase`."""
    if following not in NEXT[phase]:
        raise ValueError(f"{following} after {phase}")


def on(given: Input) -> Callable[[_Method[_M, _P]], _Method[_M, _P]]:
    """The method that handles this input: it runs when the present phase accepts it, and returns no
    effects when the phase ignores it. Raises: IllegalInput.
    """
    accepting = frozenset(phase for phase in Phase if given in ACCEPTS[phase])

    def handles(method: _Method[_M, _P]) -> _Method[_M, _P]:
        @functools.wraps(method)
        def checked(self: _M, /, *args: _P.args, **kwargs: _P.kwargs) -> list[Effect]:
            if self.phase in accepting or takes(self.phase, given):
                return method(self, *args, **kwargs)
            return []

        return checked

    return handles


def diagram() -> str:
    """The table as a Mermaid state diagram; a test compares it with the document."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.PENDING}"]
    for phase, inputs in ACCEPTS.items():
        for following in Phase:
            given = [name for name, phases in inputs.items() if following in phases]
            if given:
                lines.append(f"    {phase} --> {following}: {', '.join(map(_label, given))}")
    lines += [f"    {phase} --> [*]" for phase in Phase if not NEXT[phase]]
    return "\n".join(lines)


def _label(given: AnyInput) -> str:
    return f"{given} timer" if isinstance(given, Timer) else given.value
