"""The register decides who owns a job and whose turn it is, and forgets nothing unacknowledged."""

from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.supervisor.register import Register


def job(job_id):
    return SimpleNamespace(id=job_id)  # the register asks a job for nothing else


def register(max_running=1):
    made = Register()
    made.max_running = max_running
    return made


def test_turns_come_in_the_order_of_claims():
    turns = register()
    first, second, third = (turns.claim(job(name), "owner") for name in "abc")
    assert (first.has_turn, second.has_turn, third.has_turn) == (True, False, False)
    assert turns.next_turns() == []
    turns.release("a")
    assert turns.next_turns() == [second]
    turns.give_back_turn(second)
    assert turns.next_turns() == [third]


def test_a_job_that_ends_while_it_waits_is_passed_over():
    turns = register()
    turns.claim(job("a"), "owner")
    waiting = turns.claim(job("b"), "owner")
    third = turns.claim(job("c"), "owner")
    turns.give_back_turn(waiting)
    turns.release("a")
    assert turns.next_turns() == [third]
    assert not waiting.has_turn


def test_a_newcomer_does_not_overtake_those_who_wait():
    turns = register()
    turns.claim(job("a"), "owner")
    waiting = turns.claim(job("b"), "owner")
    turns.max_running = 5
    assert not turns.claim(job("c"), "owner").has_turn
    assert [entry.job.id for entry in turns.next_turns()] == ["b", "c"]
    assert waiting.has_turn


def test_a_turn_is_given_back_once():
    turns = register()
    first = turns.claim(job("a"), "owner")
    turns.claim(job("b"), "owner")
    turns.claim(job("c"), "owner")
    turns.give_back_turn(first)
    turns.give_back_turn(first)
    turns.release("a")
    assert len(turns.next_turns()) == 1


def test_fewer_slots_take_no_turn_away():
    turns = register(max_running=2)
    entries = [turns.claim(job(name), "owner") for name in "abc"]
    turns.max_running = 1
    assert [entry.has_turn for entry in entries] == [True, True, False]
    turns.release("a")
    assert turns.next_turns() == []
    turns.release("b")
    assert turns.next_turns() == [entries[2]]


def test_events_are_numbered_and_kept_until_acknowledged():
    events = register()
    entry = events.claim(job("a"), "owner")
    for name in ("started", "ended", "finished"):
        events.record(entry, {"name": name})
    assert [event["seq"] for event in entry.events] == [1, 2, 3]
    events.acknowledge("a", 2)
    assert [event["name"] for event in entry.events] == ["finished"]
    events.acknowledge("a", 1)
    events.acknowledge("unknown", 3)
    assert len(entry.events) == 1


def test_jobs_are_found_by_their_owner():
    owners = register(max_running=5)
    for name, owner in (("a", "x"), ("b", "y"), ("c", "x")):
        owners.claim(job(name), owner)
    owners.get("b").owner = None
    assert [entry.job.id for entry in owners.owned_by("x")] == ["a", "c"]
    assert [entry.job.id for entry in owners.owned_by(None)] == ["b"]
    assert owners.ids() == ["a", "b", "c"]
    assert owners.release("b").job.id == "b"
    assert owners.release("b") is None
    assert len(owners) == 2


class Turns(RuleBasedStateMachine):
    """Against a model: a list of those who wait, a set of those who run."""

    def __init__(self):
        super().__init__()
        self.register = register(max_running=2)
        self.waiting, self.running, self.known, self.count = [], [], [], 0

    @rule()
    def claim(self):
        name = str(self.count)
        self.count += 1
        self.known.append(name)
        (self.waiting if self.waiting or len(self.running) >= self.slots else self.running).append(
            name
        )
        self.register.claim(job(name), None)

    @property
    def slots(self):
        return self.register.max_running

    @rule(slots=st.integers(1, 4))
    def change_slots(self, slots):
        self.register.max_running = slots

    @rule(data=st.data(), forget=st.booleans())
    def end(self, data, forget):
        if self.known:
            name = data.draw(st.sampled_from(self.known))
            if forget:
                self.known.remove(name)
                self.register.release(name)
            else:
                self.register.give_back_turn(self.register.get(name))
            for names in (self.waiting, self.running):
                if name in names:
                    names.remove(name)

    @rule()
    def give(self):
        given = []
        while self.waiting and len(self.running) < self.slots:
            given.append(self.waiting.pop(0))
            self.running.append(given[-1])
        assert [entry.job.id for entry in self.register.next_turns()] == given

    @invariant()
    def turns_are_those_of_the_model(self):
        having = {entry.job.id for entry in self.register if entry.has_turn}
        assert having == set(self.running)
        assert self.register.ids() == self.known


Turns.TestCase.settings = settings(max_examples=50, deadline=None)
TestTurns = Turns.TestCase
