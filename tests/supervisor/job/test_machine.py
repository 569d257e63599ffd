"""Every legal order of what can happen to a job, walked exhaustively: one outcome each, no leak.

A small world stands around the machine: it carries out the effects, and knows what may happen next.
All its orders are walked by their states (what was seen before and led to the same state leads on
alike), and what the rules promise is checked against facts that the world notes for itself.
"""

import copy
import functools
import itertools
import signal
from dataclasses import dataclass, field, fields, replace

import pytest

from service.supervisor.job.command import Command
from service.supervisor.job.effects import (
    Arm,
    CheckTree,
    CloseLog,
    Disarm,
    Drain,
    Emit,
    Finish,
    SignalTree,
    Spawn,
    Timer,
)
from service.supervisor.job.ending import KillRequest
from service.supervisor.job.escalation import MAX_LATER, ORPHAN_GRACE_S, STUCK_AFTER_KILL_S
from service.supervisor.job.machine import JobMachine
from service.supervisor.job.phases import Phase

NOW = 100.0  # any moment: the machine never asks for the time
DRAIN_S = 2.0
STREAMS = 2
PARTS = [f.name for f in fields(JobMachine) if f.name != "phase"]


@dataclass(frozen=True)
class Planned:
    """What a command of the world does. `refused`: it can't be started."""

    status: int = 0
    end_if: str = "always"
    refused: bool = False


@dataclass(frozen=True)
class Case:
    """A job's world: its commands, and what goes on around them.

    stray: the first command leaves a process behind, which dies once, at any time after it began.
    escaped: somebody unseen holds the pipes; their end comes only by itself, or never.
    kills: requests as (signal, grace), in this order, at any time.
    timeout: the job has one.
    stalled: the disk takes no bytes.
    """

    commands: tuple[Planned, ...] = (Planned(),)
    stray: bool = False
    escaped: bool = False
    kills: tuple[tuple[int, float], ...] = ()
    timeout: bool = False
    stalled: bool = False


@dataclass
class World:
    case: Case
    machine: JobMachine = field(default_factory=JobMachine)
    next_command: int = 0  # what the worker dispatches next; -1: nothing
    alive: int | None = None  # the command whose process lives
    stray_lives: bool = False
    pipes: set = field(default_factory=set)  # (command, stream) whose end hasn't come
    kills_made: int = 0
    timers: dict = field(default_factory=dict)  # what is armed, and for how long
    emits: list = field(default_factory=list)
    signals: list = field(default_factory=list)
    log_closed: list = field(default_factory=list)
    # Facts, for the oracles
    killed_by_rule: bool | None = None  # rule 2, set when it is decided
    killing: bool = False
    statuses: dict = field(default_factory=dict)
    grace_passed: bool = False
    stuck_passed: bool = False
    drain_passed: bool = False
    closing_passed: bool = False

    # What may happen

    def events(self):
        machine = self.machine
        if 0 <= self.next_command < len(self.case.commands):
            yield "start"
        if self.alive is not None:
            yield "wait status"
        if machine.phase is not Phase.FINISHED:  # then the pump is closed
            for command, stream in sorted(self.pipes):
                yield f"end of {command} {stream}"
        if self.stray_lives:
            yield "stray dies"
        if self.kills_made < len(self.case.kills):
            yield "kill"
        for timer in sorted(self.timers, key=lambda timer: timer.value):
            yield timer.value

    def happen(self, event):
        before = len(self.emits)
        was_finished = self.machine.phase is Phase.FINISHED
        match event.split():
            case ["start"]:
                self._start()
            case ["wait", "status"]:
                self._die()
            case ["end", "of", command, stream]:
                self._end_pipe(int(command), int(stream))
            case ["stray", "dies"]:
                self.stray_lives = False
                # Its parent reaps it; the supervisor hears of it once the parent is gone.
                if self.alive is None:
                    self._batch()
            case ["kill"]:
                self._kill()
            case [timer]:
                self._pass(Timer(timer))
        if was_finished:
            assert len(self.emits) == before, f"{event} after the end was reported"
            assert self.machine.phase is Phase.FINISHED
            assert not self.timers

    def _start(self):
        number = self.next_command
        command = self.case.commands[number]
        self.next_command = -1
        effects = self.machine.start(Command(number, command.end_if, DRAIN_S))
        # The worker may dispatch it before it hears of a kill: then nothing is spawned.
        assert bool(effects) is (not self.killing), "a start after a kill is refused"
        self.apply(effects)
        assert self.machine.start(Command(number, command.end_if, DRAIN_S)) == []

    def spawn(self, number):
        command = self.case.commands[number]
        if command.refused:
            if command.end_if != "never":
                self.killed_by_rule = False
            self.apply(self.machine.refused("no", at=1))
            return
        self.alive = number
        self.pipes |= {(number, stream) for stream in range(STREAMS)}
        self.stray_lives = self.stray_lives or (self.case.stray and number == 0)
        timeout_s = 60.0 if self.case.timeout else 0.0
        self.apply(self.machine.spawned(streams=STREAMS, timeout_s=timeout_s, grace_s=5.0, at=1))

    def _die(self):
        number, self.alive = self.alive, None
        command = self.case.commands[number]
        self.statuses[number] = command.status
        ends = command.end_if == "always" or (command.end_if == "nonzero" and command.status != 0)
        if self.killed_by_rule is None:
            if self.killing:
                self.killed_by_rule = True
            elif ends:
                self.killed_by_rule = False
        self.apply(self.machine.wait_status(command.status, at=2))
        self._batch()

    def _batch(self):
        if self.machine.needs_tree_checks:
            self.apply(self.machine.tree_checked(is_alive=bool(self.living), now=NOW))

    @property
    def living(self):
        return int(self.alive is not None) + int(self.stray_lives)

    def _end_pipe(self, command, stream):
        self.pipes.discard((command, stream))
        self.apply(self.machine.stream_ended(command, at=3))

    def _kill(self):
        number, grace_s = self.case.kills[self.kills_made]
        self.kills_made += 1
        self._note_kill()
        request = KillRequest(number, grace_s, "requested", 4 + self.kills_made)
        repeat = copy.copy(request)
        self.apply(self.machine.request_kill(request, NOW))
        if self.machine.phase is not Phase.FINISHED:
            assert self.machine.request_kill(repeat, NOW) == [], "a repeat changes nothing"

    def _note_kill(self):
        self.killing = True
        if self.killed_by_rule is None and self.alive is None:
            self.killed_by_rule = True  # none was running, and more were to run

    def _pass(self, timer):
        del self.timers[timer]
        match timer:
            case Timer.DEADLINE:
                self._note_kill()
            case Timer.GRACE:
                self.grace_passed = True
            case Timer.STUCK:
                self.stuck_passed = True
                if self.killed_by_rule is None:
                    self.killed_by_rule = True  # its wait status was never read
            case Timer.DRAIN:
                self.drain_passed = True
            case Timer.CLOSING:
                self.closing_passed = True
        self.apply(self.machine.timer_fired(timer, at=5, now=NOW, stalled=self.case.stalled))

    # What the machine wants

    def apply(self, effects):
        for effect in effects:
            match effect:
                case Spawn(number):
                    self.spawn(number)
                case SignalTree(number):
                    self.signals.append(int(number))
                case CheckTree():
                    self.apply(self.machine.tree_checked(is_alive=bool(self.living), now=NOW))
                case Arm(timer, seconds):
                    assert seconds > 0
                    if timer is Timer.GRACE and timer in self.timers:
                        assert seconds < self.timers[timer], "a later request only shortens"
                    self.timers[timer] = seconds
                case Disarm(timer):
                    self.timers.pop(timer, None)
                case Drain():
                    # With nobody left to write, what is in the pipes ends with them.
                    if not self.living and not self.case.escaped:
                        for command, stream in sorted(self.pipes):
                            self._end_pipe(command, stream)
                case CloseLog():
                    self.log_closed.append(effect.complete)
                case Finish(outcome, output_complete):
                    fields = {"outcome": outcome, "output_complete": output_complete}
                    self.emits.append(("finished", fields))
                case Emit({"name": name, **fields}):
                    self.emits.append((name, fields))
                    if name in ("ended", "refused") and not fields["ends_job"]:
                        self.next_command = fields["command"] + 1

    # What must hold

    def check_always(self):
        names = [name for name, _ in self.emits]
        assert names.count("finished") == len(self.log_closed) <= 1
        assert names.count("started") <= len(self.case.commands)
        if names.count("finished"):
            assert names[-1] == "finished", "the end is reported last"
            assert self.machine.phase is Phase.FINISHED
            assert not self.timers, "no timer outlives the job"
            self.check_finished()
        if self.killing:
            assert Timer.DEADLINE not in self.timers, "what is being killed has no deadline"
        if signal.SIGKILL in self.signals:
            assert Timer.GRACE not in self.timers, "KILL ends the grace"
            requested = any(
                number == signal.SIGKILL or grace_s == 0
                for number, grace_s in self.case.kills[: self.kills_made]
            )
            assert requested or self.grace_passed, "KILL is sent after the grace, or when requested"

    def check_finished(self):
        fields = self.emits[-1][1]
        outcome = "killed" if self.killed_by_rule else "exited"
        assert fields["outcome"] == outcome, "rule 2"
        assert (self.machine.receipt(3) is not None) is (outcome == "killed")
        assert self.living == 0 or self.stuck_passed, "nothing is left, unless it can't be killed"
        assert fields["output_complete"] is self.log_closed[0] is (not self.pipes)
        waited = self.closing_passed or (self.case.stalled and self.drain_passed and self.killing)
        assert not self.pipes or waited, "the wait for the last bytes is bounded"
        started = [f["command"] for name, f in self.emits if name == "started"]
        ended = [f["command"] for name, f in self.emits if name == "ended"]
        assert started == ended == sorted(set(started)), "each command ends once, in order"
        for name, f in self.emits:
            if name == "ended" and f["command"] in self.statuses and not self.stuck_passed:
                assert f["status"] == self.statuses[f["command"]]
        if (receipt := self.machine.receipt(3)) is not None:
            assert receipt["found"] == 3
            assert receipt["verified_gone"] is not self.stuck_passed
            assert self.signals, "a kill signals"
            if receipt["escalated"]:
                assert signal.SIGKILL in self.signals

    def check_at_rest(self):
        """Nothing can happen any more."""
        names = [name for name, _ in self.emits]
        assert names.count("finished") == 1, "every order comes to its end"

    def fork(self):
        fork = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (set, list, dict)):
                setattr(fork, name, value.copy())
        fork.machine = fork_of(self.machine)
        return fork

    def key(self):
        return repr([v for k, v in vars(self).items() if k != "case"])


def fork_of(machine):
    """As copy.deepcopy, which takes twenty times as long; the world uses no cleanups."""
    parts = {name: copy.copy(getattr(machine, name)) for name in PARTS}
    fork = JobMachine(machine.phase, **parts)
    fork.streams.open = machine.streams.open.copy()
    fork.escalation.kill = copy.copy(machine.kill)
    fork.escalation.later = machine.escalation.later.copy()
    return fork


def walk(case):
    """Walk every order; how many there are, and in how many states of the world."""
    counts = {}

    def orders(world, path):
        key = world.key()
        if key in counts:
            return counts[key]
        world.check_always()
        total = 0
        for event in list(world.events()):
            following = world.fork()
            try:
                following.happen(event)
                total += orders(following, (*path, event))
            except AssertionError as exc:
                if not getattr(exc, "__notes__", None):
                    exc.add_note(f"after: {', '.join((*path, event))}; in {case}")
                raise
        if not total:
            world.check_at_rest()
            total = 1
        counts[key] = total
        return total

    return orders(World(case), ()), len(counts)


SOFT, HARD = (signal.SIGTERM, 10.0), (signal.SIGTERM, 0.0)
KILLS = {
    "no kill": (),
    "a kill": (SOFT,),
    "a hard kill": (HARD,),
    "a kill by KILL": ((signal.SIGKILL, 10.0),),
    "a kill, then a shorter one": (SOFT, (signal.SIGTERM, 1.0)),
    "a kill, then a longer one": (SOFT, (signal.SIGTERM, 60.0)),
    "a kill, then a hard one": (SOFT, HARD),
}
AROUND = {
    "alone": Case(),
    "with a stray": Case(stray=True),
    "with its pipes held": Case(escaped=True),
    "with both": Case(stray=True, escaped=True),
    "with a timeout": Case(timeout=True, stray=True),
}


@pytest.mark.parametrize("kills", KILLS.values(), ids=KILLS)
@pytest.mark.parametrize("case", AROUND.values(), ids=AROUND)
def test_every_order_of_one_command_has_one_outcome_and_leaves_no_timer(case, kills):
    count, _ = walk(replace(case, kills=kills, commands=(Planned(-15 if kills else 0),)))
    # At least: each order of the wait status and the two ends of output.
    assert count >= 6


PAIRS = {
    "both run": (Planned(0, "nonzero"), Planned(0)),
    "the first fails": (Planned(3, "nonzero"), Planned(0)),
    "the first may fail": (Planned(3, "never"), Planned(0)),
    "the first is refused": (Planned(refused=True, end_if="nonzero"), Planned(0)),
    "the first may be refused": (Planned(refused=True, end_if="never"), Planned(0)),
    "the second is refused": (Planned(0, "nonzero"), Planned(refused=True)),
}


ENDED_BY = {
    "itself": {},
    "a kill": {"kills": (SOFT,)},
    "a hard kill": {"kills": (HARD,)},
    "its timeout": {"timeout": True},
}


@pytest.mark.parametrize("ended_by", ENDED_BY.values(), ids=ENDED_BY)
@pytest.mark.parametrize("stray", [True, False], ids=["stray", "alone"])
@pytest.mark.parametrize("commands", PAIRS.values(), ids=PAIRS)
def test_every_order_of_two_commands_has_one_outcome_and_leaves_no_timer(commands, stray, ended_by):
    walk(Case(commands, stray=stray, **ended_by))


def after(case, *events):
    world = World(case)
    for event in events:
        assert event in list(world.events())
        world.happen(event)
        world.check_always()
    return world


def test_exit_before_end_of_output_and_after_it_come_to_the_same():
    ends = ("end of 0 0", "end of 0 1")
    outcomes = set()
    for order in itertools.permutations(("wait status", *ends)):
        world = after(Case(), "start", *order)
        assert world.machine.phase is Phase.FINISHED
        assert not world.drain_passed
        outcomes.add(repr([(n, {**f, "at": 0}) for n, f in world.emits]))
    assert len(outcomes) == 1


def test_a_held_pipe_is_waited_for_as_long_as_the_drain_grace():
    world = after(Case(escaped=True), "start", "wait status")
    assert set(world.timers) == {Timer.DRAIN}
    assert world.emits[-1][0] == "started"
    world.happen("drain")
    assert ("ended", True) in [(name, f.get("ends_job")) for name, f in world.emits]


def test_a_held_pipe_leaves_the_output_incomplete():
    world = after(Case(escaped=True), "start", "wait status", "drain", "closing")
    assert world.emits[-1] == ("finished", {"outcome": "exited", "output_complete": False})


def test_a_full_disk_bounds_nothing_until_the_job_is_killed():
    stalled = Case(escaped=True, stalled=True, kills=(SOFT,))
    world = after(stalled, "start", "wait status", "drain", "drain", "drain")
    assert world.machine.phase is Phase.DRAINING
    world.happen("kill")
    world.happen("drain")
    world.check_always()
    assert world.emits[-1] == ("finished", {"outcome": "exited", "output_complete": False})


def closing_on_a_full_disk():
    """What a first command left holds a pipe, and nothing is left to be killed."""
    commands = (Planned(end_if="never"), Planned())
    case = Case(commands, escaped=True, kills=(SOFT,))
    world = after(case, "start", "wait status", "drain", "start", "end of 1 0", "end of 1 1")
    world.case = replace(case, stalled=True)
    world.happen("wait status")
    assert world.machine.phase is Phase.CLOSING
    world.happen("closing")
    assert world.machine.phase is Phase.CLOSING
    return world


def test_a_kill_ends_the_wait_for_room_of_a_job_of_which_only_bytes_are_left():
    world = closing_on_a_full_disk()
    world.happen("kill")
    assert world.machine.phase is Phase.CLOSING
    world.happen("closing")
    assert world.machine.phase is Phase.FINISHED
    assert not world.timers
    assert world.emits[-1] == ("finished", {"outcome": "exited", "output_complete": False})


def test_room_that_comes_while_closing_leaves_no_timer():
    world = closing_on_a_full_disk()
    world.case = replace(world.case, escaped=False)  # what waits in the pipes comes out now
    world.happen("closing")
    assert world.machine.phase is Phase.FINISHED
    world.check_always()


def test_output_that_cant_be_written_ends_the_job_with_an_error():
    world = after(Case(escaped=True, stalled=True), "start")
    world.apply(world.machine.log_failed("It broke.", 5, NOW))
    assert world.signals == [signal.SIGTERM]
    world.killing = world.killed_by_rule = True
    world.apply(world.machine.log_failed("It broke again.", 5, NOW))
    assert world.signals == [signal.SIGTERM]
    world.happen("wait status")
    world.happen("drain")
    world.check_always()
    assert world.machine.kill.reason == "output"
    ended = dict(world.emits)["ended"]
    assert (ended["killed"], ended["error"]) == (True, "It broke.")
    assert world.emits[-1] == ("finished", {"outcome": "killed", "output_complete": False})


def test_what_a_job_left_behind_gets_term_then_kill():
    world = after(Case(stray=True), "start", "end of 0 0", "end of 0 1", "wait status")
    assert world.signals == [signal.SIGTERM]
    assert set(world.timers) == {Timer.GRACE}
    world.happen("grace")
    assert world.signals == [signal.SIGTERM, signal.SIGKILL]
    assert set(world.timers) == {Timer.STUCK}
    world.happen("stray dies")
    world.check_always()
    assert world.emits[-1][1]["outcome"] == "exited"
    assert world.machine.receipt(1) is None


def test_kill_repeats_while_something_is_left():
    world = after(Case(stray=True, kills=(HARD,)), "start", "kill", "wait status")
    assert world.signals == [signal.SIGKILL] * 2


@functools.cache
def seconds_armed(*requests):
    """For how long the grace was armed by each of the requests, given one after the other."""
    machine = JobMachine()
    machine.start(Command(0, drain_s=DRAIN_S))
    machine.spawned(streams=2, timeout_s=0, grace_s=0, at=1)
    armed = []
    for now, number, grace_s in requests:
        request = KillRequest(number, grace_s, "requested", len(armed))
        effects = machine.request_kill(request, now)
        armed.append([a.seconds for a in effects if isinstance(a, Arm) and a.timer is Timer.GRACE])
    return armed, machine.kill


@pytest.mark.parametrize(
    ("second", "armed"),
    [
        ((3.0, 15, 5.0), [5.0]),  # ends at 8 instead of at 10
        ((3.0, 15, 7.0), []),  # ends at 10 as well
        ((3.0, 15, 20.0), []),
        ((3.0, 15, 0.0), []),  # KILL at once
        ((3.0, 9, 20.0), []),
    ],
)
def test_a_later_request_only_shortens(second, armed):
    armed_for, _ = seconds_armed((0.0, 15, 10.0), second)
    assert armed_for == [[10.0], armed]


def signals_sent(*requests):
    """By requests of (signal, grace, reason), one after the other; and the receipt."""
    machine = JobMachine()
    machine.start(Command(0, drain_s=DRAIN_S))
    machine.spawned(streams=2, timeout_s=0, grace_s=0, at=1)
    sent = []
    for at, (number, grace_s, reason) in enumerate(requests):
        effects = machine.request_kill(KillRequest(number, grace_s, reason, at), NOW + at)
        sent.append([int(e.signal) for e in effects if isinstance(e, SignalTree)])
    machine.ending.killed = True
    return sent, machine.receipt(1)


def test_a_later_request_sends_its_own_signal():
    sent, receipt = signals_sent((2, 30.0, "requested"), (15, 10.0, "requested"))
    assert sent == [[2], [15]]
    assert (receipt["signal"], receipt["grace_s"]) == (2, 10.0)
    assert receipt["later"] == [{"requested_at": 1, "signal": 15, "grace_s": 10.0}]

    sent, receipt = signals_sent((2, 30.0, "requested"), (15, 60.0, "requested"))
    assert sent == [[2], [15]], "also when it doesn't shorten the grace"
    assert receipt["grace_s"] == 30.0

    sent, receipt = signals_sent(*[(2, 30.0, "requested")] * 2, (15, 0.0, "requested"))
    assert sent == [[2], [2], [9]]
    assert [later["signal"] for later in receipt["later"]] == [2, 9]


def test_after_kill_nothing_is_sent_by_a_later_request():
    sent, receipt = signals_sent((9, 30.0, "requested"), (15, 10.0, "requested"))
    assert sent == [[9], []]
    assert receipt["later"] == []


def test_a_stopping_service_repeats_no_signal():
    assert signals_sent((15, 30.0, "requested"), (15, 4.0, "shutdown"))[0] == [[15], []]
    assert signals_sent((2, 30.0, "requested"), (15, 4.0, "shutdown"))[0] == [[2], [15]]


def test_receipt_tells_of_the_newest_requests():
    _, receipt = signals_sent(*[(2, 30.0, "requested")] * 100, (15, 30.0, "requested"))
    assert len(receipt["later"]) == MAX_LATER
    assert receipt["later"][-1]["signal"] == 15


def test_the_receipt_tells_the_grace_that_held():
    assert seconds_armed((0.0, 15, 10.0), (3.0, 15, 5.0))[1].grace_s == 5.0
    assert seconds_armed((0.0, 15, 10.0), (3.0, 15, 50.0))[1].grace_s == 10.0


def test_with_no_grace_nothing_is_escalated():
    _, kill = seconds_armed((0.0, 15, 0.0))
    assert (kill.signal, kill.escalated) == (signal.SIGKILL, False)
    _, kill = seconds_armed((0.0, 15, 10.0), (1.0, 15, 0.0))
    assert (kill.signal, kill.escalated) == (signal.SIGTERM, True)


def test_bounds_are_those_of_the_contract():
    assert (ORPHAN_GRACE_S, STUCK_AFTER_KILL_S) == (2.0, 30.0)
