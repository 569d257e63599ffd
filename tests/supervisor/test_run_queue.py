"""Which job is next: by priority, then by fair share, then first come first served."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.supervisor.run_queue import RunQueue


def waiting(*jobs):
    queue = RunQueue()
    for key, priority, principal in jobs:
        queue.add(key, priority=priority, principal=principal)
    return queue


def all_of(queue):
    """Every key in the order of the run slots that they get; none of them ends."""
    taken = []
    principals = {key: principal for key, (_, (principal, _)) in queue._places.items()}
    while queue:
        taken.append(queue.pop())
        queue.slot_taken(principals[taken[-1]])
    return taken


def test_higher_priority_comes_first():
    queue = waiting(("low", -100, ""), ("a", 0, ""), ("high", 100, ""), ("b", 0, ""))
    assert all_of(queue) == ["high", "a", "b", "low"]


def test_a_principal_with_many_jobs_waits_for_those_with_few():
    greedy = [(f"greedy{n}", 0, "greedy") for n in range(4)]
    queue = waiting(*greedy, ("ann", 0, "ann"), ("bob", 0, "bob"), ("ann2", 0, "ann"))
    assert all_of(queue) == ["greedy0", "ann", "bob", "greedy1", "ann2", "greedy2", "greedy3"]


def test_priority_comes_before_fairness():
    queue = waiting(("a", 1, "greedy"), ("b", 1, "greedy"), ("c", 0, "ann"))
    assert all_of(queue) == ["a", "b", "c"]


def test_jobs_without_a_principal_are_served_first_come_first_served():
    names = [str(n) for n in range(100)]
    assert all_of(waiting(*((name, 0, "") for name in names))) == names


def test_no_job_is_next_when_none_waits():
    assert waiting().pop() is None


def test_the_heap_is_bounded_by_the_waiting_jobs():
    queue = waiting(("low", -1, "ann"), ("other", -1, "bob"))
    for number in range(10_000):
        for principal in ("ann", "bob"):
            queue.slot_taken(principal)
            queue.add(number, priority=-1, principal=principal)
            queue.slot_freed(principal)
            queue.discard(number)
            if number % 3:
                queue.slot_taken("ann")
                queue.add("taken", priority=-1, principal="cid")
                queue.pop()
                queue.slot_freed("ann")
    (level,) = queue._levels.values()
    assert len(level.heap) < 100


def test_a_principal_at_its_limit_is_passed_over_and_blocks_nobody():
    queue = RunQueue()
    for key, priority, principal, most in [
        ("a1", 9, "ann", 1), ("a2", 9, "ann", 1), ("b", 0, "bob", 0), ("a3", -1, "ann", 0),
    ]:  # fmt: skip
        queue.add(key, priority=priority, principal=principal, max_running=most)
    assert queue.pop() == "a1"
    queue.slot_taken("ann")
    assert not queue.is_below_limit("ann", 1)
    assert queue.pop() == "b"
    queue.slot_taken("bob")
    assert queue.pop() == "a3"  # submitted with a token that has no limit
    queue.slot_taken("ann")
    assert queue.peek() is None
    assert len(queue) == queue.waiting_of("ann") == 1
    queue.slot_freed("ann")
    assert queue.peek() is None
    queue.slot_freed("ann")
    assert queue.pop() == "a2"
    assert queue.waiting_of("ann") == 0


class AgainstAList(RuleBasedStateMachine):
    """The model looks at every waiting job, each time."""

    def __init__(self):
        super().__init__()
        self.queue, self.list, self.running, self.count = RunQueue(), [], Counter(), 0

    @rule(priority=st.integers(-1, 1), principal=st.sampled_from("abc"), most=st.integers(0, 2))
    def wait(self, priority, principal, most):
        self.count += 1
        self.list.append((self.count, priority, principal, most))
        self.queue.add(self.count, priority=priority, principal=principal, max_running=most)

    @rule()
    def take(self):
        may = [job for job in self.list if not 0 < job[3] <= self.running[job[2]]]
        if not may:
            assert self.queue.peek() is None
            assert self.queue.pop() is None
            return
        # Of one principal with the same rank, the older job is first, whatever its ceiling.
        best = min(may, key=lambda job: (-job[1], self.running[job[2]], job[0]))
        assert self.queue.pop() == best[0]
        self.list.remove(best)
        self.queue.slot_taken(best[2])
        self.running[best[2]] += 1

    @precondition(lambda self: self.running.total())
    @rule(data=st.data())
    def end(self, data):
        principal = data.draw(st.sampled_from(sorted(p for p, n in self.running.items() if n)))
        self.queue.slot_freed(principal)
        self.running[principal] -= 1

    @precondition(lambda self: self.list)
    @rule(data=st.data(), priority=st.integers(-1, 1))
    def change(self, data, priority):
        number = data.draw(st.integers(0, len(self.list) - 1))
        job, _, *rest = self.list[number]
        self.list[number] = (job, priority, *rest)
        self.queue.set_priority(job, priority)

    @precondition(lambda self: self.list)
    @rule(data=st.data())
    def leave(self, data):
        job = data.draw(st.sampled_from(self.list))
        self.list.remove(job)
        self.queue.discard(job[0])
        self.queue.discard(job[0])

    @invariant()
    def waiting_jobs_are_those_of_the_list(self):
        assert len(self.queue) == len(self.list)
        assert all(job[0] in self.queue for job in self.list)
        for principal in "abc":
            assert self.queue.waiting_of(principal) == sum(j[2] == principal for j in self.list)
            for most in range(3):
                may = not 0 < most <= self.running[principal]
                assert self.queue.is_below_limit(principal, most) is may


AgainstAList.TestCase.settings = settings(max_examples=200, deadline=None, stateful_step_count=60)
TestAgainstAList = pytest.mark.slow(AgainstAList.TestCase)
