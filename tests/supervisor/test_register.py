"""The register decides which worker drives a job and which job gets a run slot, and keeps events
until they are acknowledged.
"""

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


def test_slots_are_granted_in_the_order_of_claims():
    jobs = register()
    first, second, third = (jobs.claim(job(name), "worker") for name in "abc")
    assert (first.has_slot, second.has_slot, third.has_slot) == (True, False, False)
    assert jobs.grant_slots() == []
    jobs.release("a")
    assert jobs.grant_slots() == [second]
    jobs.free_slot(second)
    assert jobs.grant_slots() == [third]


def test_a_job_that_ends_while_it_waits_is_passed_over():
    jobs = register()
    jobs.claim(job("a"), "worker")
    waiting = jobs.claim(job("b"), "worker")
    third = jobs.claim(job("c"), "worker")
    jobs.free_slot(waiting)
    jobs.release("a")
    assert jobs.grant_slots() == [third]
    assert not waiting.has_slot


def test_a_newcomer_does_not_overtake_waiting_jobs():
    jobs = register()
    jobs.claim(job("a"), "worker")
    waiting = jobs.claim(job("b"), "worker")
    jobs.max_running = 5
    assert not jobs.claim(job("c"), "worker").has_slot
    assert [entry.job.id for entry in jobs.grant_slots()] == ["b", "c"]
    assert waiting.has_slot


def test_a_slot_is_freed_once():
    jobs = register()
    first = jobs.claim(job("a"), "worker")
    jobs.claim(job("b"), "worker")
    jobs.claim(job("c"), "worker")
    jobs.free_slot(first)
    jobs.free_slot(first)
    jobs.release("a")
    assert len(jobs.grant_slots()) == 1


def test_fewer_slots_take_none_away():
    jobs = register(max_running=2)
    entries = [jobs.claim(job(name), "worker") for name in "abc"]
    jobs.max_running = 1
    assert [entry.has_slot for entry in entries] == [True, True, False]
    jobs.release("a")
    assert jobs.grant_slots() == []
    jobs.release("b")
    assert jobs.grant_slots() == [entries[2]]


def test_events_are_numbered_and_kept_until_acknowledged():
    events = register()
    entry = events.claim(job("a"), "worker")
    for name in ("started", "ended", "finished"):
        events.record(entry, {"name": name})
    assert [event["seq"] for event in entry.events] == [1, 2, 3]
    events.acknowledge("a", 2)
    assert [event["name"] for event in entry.events] == ["finished"]
    events.acknowledge("a", 1)
    events.acknowledge("unknown", 3)
    assert len(entry.events) == 1


def test_jobs_are_found_by_their_worker():
    workers = register(max_running=5)
    for name, worker in (("a", "x"), ("b", "y"), ("c", "x")):
        workers.claim(job(name), worker)
    workers.get("b").worker = None
    assert [entry.job.id for entry in workers.driven_by("x")] == ["a", "c"]
    assert [entry.job.id for entry in workers.driven_by(None)] == ["b"]
    assert workers.ids() == ["a", "b", "c"]
    assert workers.release("b").job.id == "b"
    assert workers.release("b") is None
    assert len(workers) == 2


class Slots(RuleBasedStateMachine):
    """Against a model: a list of the jobs that wait, and one of those that run."""

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
                self.register.free_slot(self.register.get(name))
            for names in (self.waiting, self.running):
                if name in names:
                    names.remove(name)

    @rule()
    def give(self):
        given = []
        while self.waiting and len(self.running) < self.slots:
            given.append(self.waiting.pop(0))
            self.running.append(given[-1])
        assert [entry.job.id for entry in self.register.grant_slots()] == given

    @invariant()
    def slots_are_those_of_the_model(self):
        having = {entry.job.id for entry in self.register if entry.has_slot}
        assert having == set(self.running)
        assert self.register.ids() == self.known


Slots.TestCase.settings = settings(max_examples=50, deadline=None)
TestSlots = Slots.TestCase
